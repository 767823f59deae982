"""Places: what an autoencoder reads of a language model, and what it predicts.

A configuration has hookpoints such as ``resid`` and ``mlp_in->mlp_added``. Beside the layers of a
model they make places, whose names stand in paths and tables: ``resid`` and ``mlp_in-mlp_added`` of
a model with one layer, ``l15.resid`` and ``l15.mlp_in-mlp_added`` of one with several.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, Self

from pipeline.study.sections import NAME_LENGTH, CellNameError

# Between source and target: in a configuration, and in names.
ARROW, DASH = "->", "-"

_HOOKPOINT = rf"([A-Za-z0-9][A-Za-z0-9_]{{0,{NAME_LENGTH - 1}}})"
_NAME = re.compile(rf"(?:l(0|[1-9][0-9]{{0,8}})\.)?{_HOOKPOINT}(?:{DASH}{_HOOKPOINT})?")


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
            CellNameError: it is no name of a place.
        """
        if (match := _NAME.fullmatch(name)) is None:
            raise CellNameError(
                f"hookpoint {name!r} is no name of a place, such as resid, mlp_in-mlp_added or "
                f"l15.resid: letters, digits and _, {NAME_LENGTH} characters at most"
            )
        layer, source, target = match.groups()
        return cls(source, target or "", None if layer is None else int(layer))

    @property
    def name(self) -> str:
        """Its name in paths and tables."""
        return self._at(f"{self.source}{DASH}{self.target}" if self.target else self.source)

    def is_among(self, names: Iterable[str] | None) -> bool:
        """Whether it is named, or its hookpoint as a configuration has it; always by None."""
        hookpoint = f"{self.source}{ARROW}{self.target}" if self.target else self.source
        return names is None or not {self.name, hookpoint}.isdisjoint(names)

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
