"""The picture on README: ``python -m docs.front_picture`` draws docs/front.png.

R2 against L0 of study `competitors` at one hookpoint, in a size that reads at 330 pixels.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt

from pipeline.analysis.csv_files import read_table
from pipeline.analysis.numbers import looks, variant_label

ROOT = Path(__file__).resolve().parents[1]
PLACE = {"model": "smollm2-135m", "hookpoint": "mlp_out", "recipe": "matched"}
SHOWN = ("batchtopk", "jumprelu", "topk", "gated", "matryoshka_batchtopk", "relu")
# The range of L0 at which variants are compared.
RANGE = (20, 180)


def main() -> None:
    """Draw it."""
    cells = read_table(ROOT / "results/reference/competitors/tables/cells.csv")
    asked = cells["collapsed"].eq("")
    for name, value in PLACE.items():
        asked &= cells[name].eq(value)
    figure, axes = plt.subplots(figsize=(4.6, 3.6), layout="constrained")
    for variant, (colour, marker) in looks(SHOWN).items():
        rows = cells[asked & cells["variant"].eq(variant) & cells["l0"].between(*RANGE)]
        knobs = rows["lam"].fillna(rows["k"])
        means = rows.groupby(knobs)[["l0", "r2"]].mean().sort_values("l0")
        look = {"color": colour, "marker": marker, "lw": 2}
        label = variant_label(variant).removesuffix(" BatchTopK")
        axes.plot(means["l0"], means["r2"], **look, label=label)
    axes.set_xscale("log")
    axes.set_xticks([32, 64, 128], ["32", "64", "128"])
    axes.minorticks_off()
    axes.set_xlabel("L0 (active latents per token)", fontsize=13)
    axes.set_ylabel("explained variance (R²)", fontsize=13)
    axes.tick_params(labelsize=12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=11, frameon=False, loc="upper left", borderaxespad=0)
    axes.set_ylim(top=0.93)
    figure.savefig(ROOT / "docs/front.png", dpi=160)


if __name__ == "__main__":
    main()
