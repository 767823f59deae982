"""What people read at the end, and what is kept of a finished study."""
