"""Steering a language model along directions."""
