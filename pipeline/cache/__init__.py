"""The tool for the cache that studies share: list, verify, prune."""
