"""What every job does around its work."""
