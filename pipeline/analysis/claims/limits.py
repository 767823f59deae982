"""What a study cannot say, in plain words: from its configuration and its data."""

from __future__ import annotations

import pandas as pd

from pipeline.analysis.numbers import span, variant_label
from pipeline.study.cell import KNOBS
from pipeline.study.scope import Scope

STANDING = (
    "The equations of SA-GSAE used here are a reconstruction from the paper's abstract, figure "
    "captions and claims (arXiv 2605.28149); they are not copied from its text. Initial "
    "thresholds, the reset rule, widths, lambdas and schedules are choices of this project.",
    "The rules that decide the claims are this project's too: the paper's models are not this "
    "study's, so a rule asks for what a claim says of any models.",
    "A probability of dominance and the errors of gaps are a bootstrap over the seeds that were "
    "run: with few seeds they take few values, and they cover neither the choice of text nor that "
    "of models.",
    "Loss Recovered sets the loss with the reconstruction spliced in against zero ablation. Where "
    "zero ablation hardly hurts, the ratio is noise and is flagged.",
)


def limits(spec: Scope, cells: pd.DataFrame) -> list[str]:
    """One or two sentences per limit; the study's own first."""
    found = [spec.note] if spec.note else []
    models = " and ".join(f"{name} (d = {d_model})" for name, d_model in spec.models.items())
    found.append(
        f"Sites: {', '.join(spec.hookpoints)} at one layer of {models}. The paper's are Pythia-1B "
        "and SmolLM3-3B; nothing here says what happens at other layers, models or sizes."
    )
    names = ("training_tokens", "eval_tokens", "ce_tokens")
    training, evaluation, recovered = (span(cells[name], "{:,}".format) for name in names)
    found.append(
        f"Budget: {training} training tokens and {evaluation} evaluation tokens a cell, Loss "
        f"Recovered over {recovered}. Longer training changes dead fractions most of all, and a "
        "latent counts as dead if it is silent on the evaluation tokens."
    )
    return [*found, _seeds(cells), *STANDING]


def _seeds(cells: pd.DataFrame) -> str:
    knobs = [name for name in KNOBS if name in cells]
    point = ["recipe", "model", "hookpoint", "variant", "width", *knobs]
    widths = cells.assign(multiple=cells["width"] / cells["d_model"])
    by_point = widths.groupby([*point, "multiple"], dropna=False)["seed"].nunique()
    fewest = by_point.groupby(["variant", "multiple"]).min()
    names = [f"{variant_label(variant)} at H = {multiple:g}d" for variant, multiple in fewest.index]
    groups = pd.Series(names).groupby(fewest.to_numpy()).agg(", ".join)
    parts = [
        f"{count} {'seed' if count == 1 else 'seeds'} of {listed}"
        for count, listed in groups[::-1].items()
    ]
    single = " One seed has no error: its numbers are single observations." if 1 in groups else ""
    return f"Seeds: at least {'; '.join(parts)}.{single}"
