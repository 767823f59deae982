"""The ``probe`` section of a configuration: what can be read from codes, and what they absorb."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pipeline.study.config.sections import Ascending, Count, Fraction, Names, Natural, Section

Sides = Annotated[int, Field(ge=1, le=256)]


class Probing(Section):
    """What one job of the probes does."""

    labels: Annotated[
        list[Literal["letter", "digit", "word", "source"]], Field(min_length=1, max_length=4)
    ] = ["letter", "digit", "word", "source"]
    """Kinds of label: first letter of a word; whether a token holds a digit; four lists of
    function words; source of the document, where the text has several. Absorption is measured on
    first letters."""
    ks: Annotated[list[Sides], Field(min_length=1), Ascending] = [1, 2, 5]
    """Numbers of sides that a probe may use, ascending. Each sign of a latent is a side."""
    train_rows: Annotated[int, Field(ge=2, le=2**53)] = 4000
    """Held-out rows that a probe is trained on at most, half of them with the label."""
    test_rows: Annotated[int, Field(ge=2, le=2**53)] = 1000
    """Held-out rows that it is tested on at most, of other documents."""
    test_share: Fraction = 0.2
    """Share of the held-out documents that are tested on."""
    least_rows: Count = 30
    """Rows with a label, in training and in test, below which the label is left out."""
    seed: Natural = 0
    """Of the split of the documents, and of the choice of rows."""

    @field_validator("labels")
    @classmethod
    def _once(cls, labels: list[str]) -> list[str]:
        if len(set(labels)) < len(labels):
            raise ValueError(f"{labels} has a kind twice: list each once")
        return labels


class Probe(Probing):
    """Sparse probing and feature absorption: `snakemake probe`.

    Every cell of the grid is probed, but for those that the fields below leave out."""

    seeds: Count = 1
    """Seeds of a sweep whose cells are probed, the lowest first."""
    models: Names = None
    """Restrict to these models; all when absent."""
    hookpoints: Names = None
    """Restrict to these hookpoints; all when absent."""
    recipes: Names = None
    """Restrict to these recipes, of which ``default`` is section training; all when absent."""
