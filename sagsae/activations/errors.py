"""Errors of activation stores: what was wrong, in which file, and what to do next."""

from __future__ import annotations

from sagsae.files import LockedError


class StoreError(RuntimeError):
    """An activation store cannot be used or written as asked."""


class StoreLockedError(StoreError, LockedError):
    """Another process is writing to the store."""
