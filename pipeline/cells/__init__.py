"""One cell: trained, evaluated."""
