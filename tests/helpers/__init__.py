"""Studies, workflows and machines that tests make; no tests."""
