"""Protocols on data whose features are known, and their figures."""
