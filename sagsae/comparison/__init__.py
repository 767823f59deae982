"""Sweeps and their frontiers, and how one compares with another."""
