"""Tools on activation stores: statistics of every feature, and copies for other programs."""
