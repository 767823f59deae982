"""Places: what an autoencoder reads of a language model, and what it predicts.

A configuration has hookpoints such as ``resid`` and ``mlp_in->mlp_added``. Beside the layers of a
model they make places, whose names stand in paths and tables: ``resid`` and ``mlp_in-mlp_added`` of
a model with one layer, ``l15.resid`` and ``l15.mlp_in-mlp_added`` of one with several.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Self

# Between source and target: in a configuration, and in names.
ARROW, DASH = "->", "-"

_NAME = re.compile(r"(?:l(?P<layer>0|[1-9][0-9]*)\.)?(?P<source>[^.-]+)(?:-(?P<target>[^.-]+))?")


class Place(NamedTuple):
    """One place of a model.

    Attributes:
        source: The hookpoint that is read.
        target: The hookpoint that is predicted; empty where that is the source.
        layer: Index of the block; None of a model with one layer, whose names lack it.
    """

    source: str
    target: str = ""
    layer: int | None = None

    @classmethod
    def of(cls, hookpoint: str, layer: int | None) -> Self:
        """The place of a hookpoint of a configuration at a layer."""
        source, _, target = hookpoint.partition(ARROW)
        return cls(source, target, layer)

    @classmethod
    def named(cls, name: str) -> Self:
        """Inverse of ``name``.

        Raises:
            ValueError: it is no name of a place.
        """
        if (match := _NAME.fullmatch(name)) is None:
            raise ValueError(f"{name!r} is no place: resid, mlp_in-mlp_added or l15.resid")
        layer, source, target = match.groups()
        return cls(source, target or "", None if layer is None else int(layer))

    @property
    def name(self) -> str:
        """Its name in paths and tables."""
        return self._at(f"{self.source}{DASH}{self.target}" if self.target else self.source)

    @property
    def reads(self) -> str:
        """Name in a store of the rows that are read."""
        return self._at(self.source)

    @property
    def predicts(self) -> str:
        """Name in a store of the rows that are predicted."""
        return self._at(self.target or self.source)

    def _at(self, name: str) -> str:
        return name if self.layer is None else f"l{self.layer}.{name}"
