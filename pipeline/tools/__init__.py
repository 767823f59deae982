"""Tools for people: what a study costs, does, keeps, and gives away."""
