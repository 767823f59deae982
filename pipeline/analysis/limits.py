"""What a study cannot say, in plain words: from its configuration and its data."""

from __future__ import annotations

import pandas as pd

from pipeline.analysis.numbers import span, variant_label
from pipeline.study.scope import Scope
from sagsae.autoencoders.registry import K, stem

STANDING = (
    "A probability of dominance and the errors of gaps are a bootstrap over the seeds that were "
    "run: with few seeds they take few values, and they cover neither the choice of text nor that "
    "of models.",
    "Loss Recovered sets the loss with the reconstruction spliced in against zero ablation. Where "
    "zero ablation costs less than 0.1 nats, the ratio is noise and is not given.",
)
# Of a study that trains the paper's variants.
RECONSTRUCTED = (
    "The equations of SA-GSAE used here are a reconstruction from the paper's abstract, figure "
    "captions and claims (arXiv 2605.28149); they are not copied from its text. Initial "
    "thresholds, the reset rule, widths, lambdas and schedules are choices of this project."
)


def limits(spec: Scope, cells: pd.DataFrame) -> list[str]:
    """One or two sentences per limit; the study's own first."""
    found = [spec.note] if spec.note else []
    models = " and ".join(f"{name} (d = {d_model})" for name, d_model in spec.models.items())
    found.append(
        f"Sites: {', '.join(spec.hookpoints)} at one layer of {models}. Nothing here says what "
        "happens at other layers, models or sizes."
    )
    names = ("training_tokens", "eval_tokens", "ce_tokens")
    training, evaluation, recovered = (span(cells[name], "{:,}".format) for name in names)
    found.append(
        f"Budget: {training} training tokens and {evaluation} evaluation tokens a cell, Loss "
        f"Recovered over {recovered}. Longer training changes dead fractions most of all, and a "
        "latent counts as dead if it is silent on the evaluation tokens."
    )
    theirs = any(name != "gated" and stem(name) == "gated" for name in cells["variant"].unique())
    return [*found, _seeds(cells), *[RECONSTRUCTED] * theirs, *STANDING]


def _seeds(cells: pd.DataFrame) -> str:
    """The fewest seeds of any point, by variant and width."""
    point = ["recipe", "model", "hookpoint", "variant", "multiple", "lam"]
    point += [K] if K in cells else []
    swept = cells.assign(multiple=cells["width"] / cells["d_model"])
    seeds = swept.groupby(point, dropna=False)["seed"].nunique()
    fewest = seeds.groupby(["variant", "multiple"]).min().reset_index().to_numpy()
    listed = (f"{n} for {variant_label(name)} at H = {width:g}d" for name, width, n in fewest)
    text = f"Seeds per point: at least {', '.join(listed)}."
    if (seeds == 1).any():
        text += " One seed has no error: its numbers are single observations."
    return text
