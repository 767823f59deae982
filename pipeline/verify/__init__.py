"""Checks of everything that a study has on disk."""
