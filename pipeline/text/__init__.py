"""Numbers in words, tables of texts, CSV with types."""
