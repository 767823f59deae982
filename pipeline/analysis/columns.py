"""Columns of tables: what a CSV file keeps in them, and how readers see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.analysis.numbers import count, plain, share, signed, variant_label
from pipeline.study.training import DEFAULT_RECIPE

# Writes a value for readers.
Form = Callable[[Any], str]


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    # As the CSV file has it.
    name: str
    # What readers see above it; empty for the name in words.
    heading: str = ""
    # Without one, numbers have a usable precision and texts are as they are.
    form: Form | None = None
    # Type of pandas in which the CSV file is read; empty for the type that its values suggest.
    dtype: Literal["", "str", "boolean"] = ""
    # What a value adds to the title of a table that this column cuts; ``form`` where it is None.
    title: Form | None = None

    @property
    def words(self) -> str:
        """The heading."""
        words = self.name.replace("_", " ")
        return self.heading or words[:1].upper() + words[1:]


def text(name: str, heading: str = "", form: Form | None = None) -> Column:
    """A column of texts, whatever they look like: a digest may read as a number."""
    return Column(name, heading, form, "str")


def named(names: str, form: Form | None = None, dtype: Literal["", "str"] = "") -> list[Column]:
    """Columns of one form and type whose headings are their names."""
    return [Column(name, form=form, dtype=dtype) for name in names.split()]


def recipe_name(name: str) -> str:
    """The name of a recipe for readers; in tables that of the default one is the empty text."""
    return name or DEFAULT_RECIPE


# Columns of several tables. A column that is not among them and that a table does not declare
# itself has numbers.
SHARED = {
    column.name: column
    for column in (
        *named(
            "model hookpoint target collapsed kind source family measure widths outcome bound",
            dtype="str",
        ),
        *named("overlap_reason rank_reason error_from", dtype="str"),
        *named("variant candidate_variant baseline_variant", variant_label, "str"),
        *named("rank best_rank worst_rank of first latents cell_k", plain),
        *named("effect_minus effect_plus", signed),
        *named("parameters gated_equivalent_width tokens_per_second", count),
        Column("recipe", "", recipe_name, "str", lambda name: f"recipe {recipe_name(name)}"),
        Column("comparison", title="comparison {}".format),
        Column("l0", title="L0 = {}".format),
        text("series", "Sweep"),
        Column("width", "H"),
        Column("lam", "λ", plain),
        Column("k", "k", plain),
        Column("dead_fraction", "Dead fraction"),
        Column("loss_recovered", "Loss Recovered"),
        Column("loss_added", "CE loss increase (nats/token)"),
        Column("r2", "R²"),
        Column("f1", "F1"),
        Column("mcc", "MCC"),
        Column("dominates", dtype="boolean"),
        Column("overlap_lo", "L0 from"),
        Column("overlap_hi", "to"),
        Column("p_dominance", "P(dominance)", share),
        Column("min_gap", "Smallest R² gap", signed),
        Column("min_gap_l0", "at L0"),
        Column("mean_gap", "Mean R² gap", signed),
        Column("two_sided_share", "Fire with both signs"),
    )
}
SWEEP = "model hookpoint variant recipe width"
CELL = f"{SWEEP} lam k seed"
METRICS = "l0 r2 dead_fraction loss_recovered"
SIDES = "candidate_variant candidate_width baseline_variant baseline_width"
DOMINANCE = "overlap_lo overlap_hi dominates p_dominance min_gap min_gap_l0 mean_gap overlap_reason"


def resolved(items: Iterable[str | Column]) -> Iterator[Column]:
    """Columns, and those whose names stand in texts."""
    for item in items:
        if isinstance(item, str):
            yield from (SHARED.get(name) or Column(name) for name in item.split())
        else:
            yield item
