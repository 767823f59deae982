"""What a study may ask for: every key of a configuration file."""
