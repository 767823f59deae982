"""replaced.csv: what the layers of a model cost replaced one by one, and together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.analysis.columns import Column
from pipeline.analysis.table import Table
from pipeline.study.replaced import ReplacedRun

REPLACED = Table(
    "replaced",
    "All layers replaced at once",
    reads="CE loss increase in nats per token over the untouched model: the sum over the layers, "
    "each "
    "replaced alone, and all of them together, where each reads what the layers below have left. "
    "Recovered: the share of what zeros in all layers cost.",
    header="recipe model hookpoint variant width lam k seed layers l0 nats_alone nats_all kl_all "
    "recovered ce_clean ce_zero ce_tokens",
    by=["recipe model hookpoint"],
    columns=[
        "variant width lam k seed l0",
        Column("nats_alone", "CE loss increase, one by one"),
        Column("nats_all", "CE loss increase, all at once"),
        Column("kl_all", "KL, all at once"),
        "recovered",
    ],
    texts="layers",
)


@REPLACED.made_from("replaced")
def replaced_table(runs: Iterable[ReplacedRun]) -> Iterator[dict[str, Any]]:
    """One row per set of cells; ``l0`` is the mean over its layers."""
    for run in runs:
        layers = " ".join(map(str, run.layers))
        of_run = {name: getattr(run, name) for name in ("ce_clean", "ce_zero", "ce_tokens")}
        for together in run.sets:
            cell, count = together.cells[0].cell, len(together.cells)
            yield {
                **vars(cell),
                "hookpoint": run.hookpoint,
                "layers": layers,
                "l0": sum(used.l0 for used in together.cells) / count,
                "nats_alone": sum(together.ce_each) - count * run.ce_clean,
                "nats_all": together.ce_all - run.ce_clean,
                "kl_all": together.kl_all,
                "recovered": (run.ce_zero - together.ce_all) / (run.ce_zero - run.ce_clean),
                **of_run,
            }
