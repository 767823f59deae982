"""The protocols on data whose features are known."""
