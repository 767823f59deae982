"""Autoencoders that another library has trained: where a block of the grid takes them from."""

from __future__ import annotations

from operator import not_
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.study.config.hub import HubRepository
from pipeline.study.config.sections import FieldFaults, PathOrNone, Section, Words
from sagsae.exchange import FORMATS


class ForeignSource(Section):
    """An autoencoder of another library. It is measured here and never trained."""

    kind: Literal["saelens", "dictionary_learning"]
    """The library that has written it. saelens: cfg.json and sae_weights.safetensors;
    dictionary_learning: config.json and ae.pt, a pickle that is read without running code."""
    path: PathOrNone = Field(default="", exclude_if=not_)
    """Folder on this machine. Give this or repo."""
    repo: HubRepository | None = Field(default=None, exclude_if=not_)
    """Repository of the Hugging Face hub, owner/name. Give this or path."""
    revision: Words = Field(default="", exclude_if=not_)
    """Commit or tag of the repository; must be given with repo."""
    folder: Words = Field(default="", exclude_if=not_)
    """Folder of the files below path, or in the repository."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        faults = []
        if bool(self.path) == bool(self.repo):
            faults.append(("path" if self.path else "repo", "give exactly one of path and repo"))
        if self.repo and not self.revision:
            faults.append(("revision", "name the commit: a branch may change under a study"))
        if self.path and self.revision:
            faults.append(("revision", "a folder on this machine has none"))
        if faults:
            raise FieldFaults(faults)
        return self

    @property
    def local_files(self) -> list[str]:
        """The files that are on this machine, the configuration first."""
        folder = Path(self.path, self.folder)
        return [str(folder / name) for name in FORMATS[self.kind]] if self.path else []
