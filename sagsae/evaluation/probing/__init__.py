"""What can be read from single sides of a code."""
