"""Sections that restrict themselves to some models, hookpoints or recipes of a study."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from pipeline.study.config.recipes import DEFAULT_RECIPE
from pipeline.study.config.study_config import StudyConfig

RESTRICTED = ("models", "hookpoints", "recipes")
"""Fields by which a section may do so."""


def is_asked(section: BaseModel, recipe: str, model: str, hookpoint: str) -> bool:
    """Whether a section that restricts itself covers a place.

    Args:
        section: Has the fields `RESTRICTED`, each a list or None for no restriction.
        recipe: The default one is the empty text.
        model: Name of a model.
        hookpoint: Name of a hookpoint.
    """
    place = {"models": model, "hookpoints": hookpoint, "recipes": recipe or DEFAULT_RECIPE}
    asked = {name: getattr(section, name) for name in RESTRICTED}
    return all(asked[name] is None or value in asked[name] for name, value in place.items())


def unknown_names(
    config: StudyConfig, section: BaseModel, path: str, fields: Sequence[str] = RESTRICTED
) -> list[str]:
    """Faults: names that the study does not have.

    Args:
        config: The study.
        section: Has the fields, each a list or None.
        path: Where the section stands, such as ``grid.0``.
        fields: Those that are looked at.
    """
    names = {
        "models": [model.name for model in config.models],
        "hookpoints": config.hookpoints,
        "recipes": [DEFAULT_RECIPE, *config.recipes],
    }
    return [
        f"{path}.{field}.{j}: unknown {value!r}; known are {', '.join(names[field])}"
        for field in fields
        for j, value in enumerate(getattr(section, field) or [])
        if value not in names[field]
    ]
