"""Contrasts in words, from made-up metrics of known numbers."""

from __future__ import annotations
