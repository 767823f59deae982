"""Study truth on the results pages: two tables for ``docs.tables``, and a figure.

``python -m docs.known_features`` draws docs/calibration.png: the width multiplier of BatchTopK
against width where features are known, and at six hookpoints of language models (study sign).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from docs.result_tables import MODELS, PLACES, WIDTHS, Shown, pivoted, rate, with_interval
from pipeline.analysis.csv_files import read_table
from pipeline.analysis.tables.truth import VISIBLE

ROOT = Path(__file__).resolve().parents[1]
KINDS = {
    "wide0": "none, 256",
    "wide100": "all, 256",
    "mid0": "none, 176",
    "mid100": "all, 176",
    "q0": "none, 96",
    "q50": "half, 96",
    "q100": "all, 96",
    "signed": "either sign, 96",
    "tree": "none, tree, 96",
}
"""Model of study truth -> which of its features have an opposite, and dimensions."""
JUDGED = {"q0": "no opposites", "q100": "all opposites", "tree": "hierarchy"}
"""Model of study truth that has all families -> its heading."""
# Study -> the recipe that is shown, and the title of its panel.
SHOWN = {
    "truth": ("", "Synthetic activations: opposites, dimensions"),
    "sign": ("tuned", "Language models (study sign)"),
}
# Of the bounds.
MARKS = {"": "o", "above": "^", "below": "v"}


def calibration(rows: pd.DataFrame, family: str) -> Shown:
    """By R2 on known features: a row per kind of features and length of training."""
    rows = rows[(rows["family"] == family) & (rows["measure"] == "r2")]
    rows = rows.set_index("model").loc[[*KINDS]].reset_index()
    rows["kind"] = rows["model"].map(KINDS) + rows["recipe"].map({"": "", "short": ", 0.5 M rows"})
    texts = rows.set_index(["kind", "multiple"]).apply(rate, axis=1)
    return pivoted(texts, {"kind": "opposites, dimensions"}, WIDTHS)


# What is held constant in the page's second table, as visible.csv names it.
GIVEN = "L0, width, signed"
TRUTHS = {"f1": "F1", "mcc": "MCC", "features_found": "features found"}
# Headings of the table of study truth-tree by what is asked: points_from, given.
ASKED = {
    ("all", ""): "all",
    ("all", GIVEN): "all, given",
    ("near", ""): "near the true L0",
    ("near", GIVEN): "near the true L0, given",
}
# The table of study truth-wide, which has one width: what is held constant -> the heading.
ONE_WIDTH = {"": "", "L0, signed": ", given"}


def visible(rows: pd.DataFrame, asked: str) -> Shown:
    """How what needs the truth goes with what does not, over dictionaries of every width: a row
    per visible number. `plain` and `given`: F1 and MCC of the models of `JUDGED`; `found`: the
    number of features found, near the true L0 too; `wide`: all three of a study of one width."""
    rows = rows[rows["model"].isin(JUDGED) & (rows["recipe"] == "") & rows["width"].isna()]
    if asked == "found":
        rows = rows[rows["truth"] == "features_found"]
        keys = [*zip(rows["points_from"], rows["given"], strict=True)]
        heads = pd.Series([ASKED.get(key, "") for key in keys], rows.index)
        heads += ", n = " + rows["n"].astype(str)
        rows = rows[[key in ASKED for key in keys]]
    elif asked == "wide":
        rows = rows[(rows["points_from"] == "all") & rows["given"].isin(ONE_WIDTH)]
        heads = rows["truth"].map(TRUTHS) + rows["given"].map(ONE_WIDTH)
    else:
        given = {"plain": "", "given": GIVEN}[asked]
        rows = rows[(rows["points_from"] == "all") & (rows["given"] == given)]
        rows = rows[rows["truth"].isin(["f1", "mcc"])]
        heads = rows["truth"].map(TRUTHS) + ": " + rows["model"].map(JUDGED)
        heads += ", n = " + rows["n"].astype(str)
    heads = heads.loc[rows.index].rename("head")
    correlation = partial(with_interval, name="correlation", form="{:+.2f}")
    texts = rows.set_index([rows["visible"].map(VISIBLE), heads]).apply(correlation, axis=1)
    return pivoted(texts, {"visible": "number"}, {head: head for head in heads})


def lines_of(study: str) -> dict[str, pd.DataFrame]:
    """Place -> its rates by R2, by width."""
    recipe, _ = SHOWN[study]
    rows = read_table(ROOT / "results/reference" / study / "tables/sign_rates.csv")
    chosen = (rows["family"] == "batchtopk") & (rows["measure"] == "r2")
    rows = rows[chosen & (rows["recipe"] == recipe)].sort_values("multiple")
    places = rows.groupby(["model", "hookpoint"], sort=False)
    found = {KINDS.get(m, f"{MODELS.get(m)} {h}"): line for (m, h), line in places}
    return {name: found[name] for name in (*KINDS.values(), *PLACES) if name in found}


def main() -> None:
    """Draw it."""
    drawing, panels = plt.subplots(1, 2, figsize=(10, 4.4), sharey=True, layout="constrained")
    for panel, (study, (_, title)) in zip(panels, SHOWN.items(), strict=True):
        for place, line in lines_of(study).items():
            known = line["rate"].where(line["bound"] == "")  # a line through bounds says nothing
            (drawn,) = panel.plot(line["multiple"], known, label=place)
            for bound, marker in MARKS.items():
                at = line[line["bound"] == bound]
                panel.plot(at["multiple"], at["rate"], marker, color=drawn.get_color())
            panel.fill_between(
                line["multiple"], line["rate_low"], line["rate_high"], alpha=0.15, lw=0
            )
        panel.axhline(1, color="black", lw=0.8)
        panel.set(
            xscale="log", yscale="log", title=title, xlabel="width H of the signed SAE, over d"
        )
        panel.set_xticks([1, 2, 4], ["1", "2", "4"])
        panel.set_yticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
        panel.minorticks_off()
        panel.legend(fontsize=8)
    panels[0].set_ylabel("width multiplier")
    drawing.savefig(ROOT / "docs/calibration.png", dpi=120)


if __name__ == "__main__":
    main()
