"""Every figure: an entry here, and a function of its name that draws it.

The function is in ``pipeline/figures``, or in ``pipeline/synthetic`` for a synthetic protocol. The
workflow, the report and the command lines take names and captions from here.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.study.paper_numbers import (
    DEAD_LOWER_BY,
    FEWER_DEAD_MLP,
    FEWER_DEAD_OTHER,
    MATCHED_WITHIN,
)

VARIANTS_SUFFIX = "_variants"
"""Ends the name of the same figure with every sweep of the grid."""
RECIPE_MARK = "@"
"""Stands before the name of the recipe that a figure shows; without it, that is the default one, or
the only one."""
EACH_POINT = (
    "Each point is one λ, averaged over seeds; bars, where there are several seeds, are ± one "
    "standard error on both axes. A cross marks a collapsed point. Lines only join points."
)
SHADED = "Within the shaded range both sweeps have points, and only there are they compared."
EVERY_SWEEP = "Every sweep of the grid; heavier lines are those of the main comparison."
STEERED = (
    "A step of size α along one direction is added to the activations at kept positions; α = 1 is "
    "their root mean square distance from their mean. A thin line is one signed latent, one "
    "opposite pair of the baseline's latents, of which each serves one sense, or one random "
    "direction; a thick line is the median. Both sides are those of the first comparison. "
)
AT_ONE_LAMBDA = "Means over seeds, ± one standard error, at the λ whose L0 is nearest the truth."


@dataclass(frozen=True, kw_only=True)
class FigureEntry:
    """What is known of a figure without drawing it."""

    title: str
    caption: str
    averaged: bool = False
    """Whether the caption must say that its points are means over seeds."""
    protocol: str | None = None
    """The synthetic protocol whose runs it shows; None where it shows none."""


FIGURES = {
    "figure_2": FigureEntry(
        title="Dead fraction against L0",
        caption="Share of latents that never fire on the held-out tokens. Lower is better. Zero is "
        "drawn at zero: below one latent the axis is linear, above it logarithmic. Where one line "
        "lies below the other, that variant keeps more of its latents in use at the same L0.",
        averaged=True,
    ),
    "figure_3": FigureEntry(
        title="Loss Recovered against L0",
        caption="Share of the next-token loss that the spliced reconstruction wins back from zero "
        "ablation. Higher is better; 1 is the untouched model. Hollow points: ablating this "
        "hookpoint costs the model so little that the ratio is noise. Where one line lies above "
        "the other, that variant keeps more of what the model does at the same L0.",
        averaged=True,
    ),
    "figure_11": FigureEntry(
        title="Calibration slopes",
        caption="Empirical distribution over latents of the slope by which a code would have to be "
        "multiplied to fit best, each sign apart (negative sides paler), at the lambda whose L0 is "
        "nearest the first matched L0. 1 is no shrinkage; above 1 the code is too small. Shaded: "
        "± one standard error over seeds. Each end of the axis may cut off 5 % of a line. "
        "The variant whose lines rise more steeply at 1 has the better calibrated codes.",
    ),
    "figure_r2": FigureEntry(
        title="R2 against L0",
        caption="Share of the variance of held-out activations that the autoencoder explains, "
        "against the mean number of active latents per token. Higher and further left is better. A "
        "line that lies above the other over the whole shaded range strictly dominates it. Lines "
        "that cross mean that the answer depends on L0.",
        averaged=True,
    ),
}
"""Figures of a study's tables, numbered as in the paper, which has none of R2 against L0."""
EACH_SETTING = (
    "Each point is one comparison of half-width SA-GSAE with full-width Gated: one model and "
    "hookpoint, one recipe, one pair of widths. Points are sorted by what is measured. The strip "
    "below has a row per level of a factor, and a mark under each point that has it. Marks that "
    "gather at one end mean that the level decides; marks spread over the whole row mean that it "
    "does not. A cross marks a point with collapsed cells. Bars, where there are several seeds, "
    "are ± one standard error over seeds. Points far outside the others stand at the edge, as "
    "triangles that point outward, or under their cross."
)
SPECIFICATION_FIGURES = {
    "figure_spec_gap": FigureEntry(
        title="Smallest R2 gap under every setting",
        caption="The smallest gap of R2, SA-GSAE minus Gated, over the L0 that both reach. Above "
        "the solid line SA-GSAE is ahead at every such L0; above the dashed one it is nowhere more "
        f"than the paper's {MATCHED_WITHIN:g} behind.",
    ),
    "figure_spec_dead": FigureEntry(
        title="Dead latents at equal L0 under every setting",
        caption="Dead fraction of Gated minus that of SA-GSAE, at the first matched L0. Above the "
        "solid line SA-GSAE has fewer dead latents; above the dashed one its dead fraction is "
        f"lower by the paper's {DEAD_LOWER_BY:g} or more. That cannot be where Gated has few.",
    ),
    "figure_spec_reduction": FigureEntry(
        title="Reduction of the dead fraction under every setting",
        caption="How many times smaller the dead fraction of SA-GSAE is, as a geometric mean over "
        "equal L0, each fraction floored at half a latent. Grey: the most that could be seen, with "
        "no latent of SA-GSAE dead. Where neither side has dead latents there is no number. "
        f"Dashed: the paper's least factors, {FEWER_DEAD_MLP:g}x at mlp_out and "
        f"{FEWER_DEAD_OTHER:g}x elsewhere.",
    ),
}
"""Specification curves, of a study that compares under several settings. They show all of them."""
DIAL_FIGURES = {
    "figure_dial": FigureEntry(
        title="Causal dial",
        caption=STEERED
        + "Shown: how far the logit difference moves between the tokens that the two "
        "senses promote most; the tokens were chosen on other contexts. A dial goes up through "
        "zero at every step, and further than random directions do.",
    ),
    "figure_dial_kl": FigureEntry(
        title="Causal dial, divergence",
        caption=STEERED + "Shown: how far the next-token distribution moves, as KL(untouched || "
        "steered).",
    ),
}
"""Figures of a study that steers with latents."""
PROBE_FIGURES = {
    "figure_probing": FigureEntry(
        title="Sparse probing",
        caption="How often a probe on k sides of a code tells a label of the text from its "
        "absence, on documents that it was not trained on: a mean over the labels; 0.5 is chance. "
        "Each sign of a latent is a side. Every line is a sweep at the λ whose L0 is nearest the "
        "first matched L0. Dotted grey: the same probe on k coordinates of the activation; dashed "
        "black: a probe on the whole activation. A higher line says that single sides follow the "
        "labels more closely.",
    ),
    "figure_absorption": FigureEntry(
        title="Feature absorption",
        caption="How much of a first letter is left to sides that do not stand for it: the mean "
        "absorption fraction over the tokens with the letter, and over letters. Lower is better. "
        "Each point is one λ, averaged over seeds.",
    ),
}
"""Figures of a study that probes codes."""
FAMILY_FIGURES = {
    "figure_frontiers": FigureEntry(
        title="All frontiers",
        caption="R2 against L0 of every sweep. A colour is a family of variants. Solid lines with "
        "filled markers have latents of one sign, dashed lines with open markers latents of two. "
        "Higher and further left is better. R2 is spaced by the logarithm of 1 - R2.",
        averaged=True,
    ),
}
"""Figures of a study whose variants are of several families. They show every sweep."""
CURVE_FIGURES = {
    "figure_curves": FigureEntry(
        title="Training curves",
        caption="The two sides of the main comparison while they train, each at the λ whose final "
        "L0 is nearest the first matched L0, its lowest seed. Every 50th batch is shown. Left: "
        "reconstruction error of the batch, in units of the mean square activation. Middle: active "
        "latents per token. Right: share of latents that fired in none of the last 50 batches. "
        "Curves that still fall at the end say that a longer training would change the result.",
    ),
}
"""Figures of how cells trained, of a study in which some cell has a curve."""
SYNTHETIC_FIGURES = {
    "figure_1": FigureEntry(
        title="Bi-Jump-ReLU",
        caption="The code of one latent against its encoder product: zero between the two "
        "thresholds, signed beyond them. Dashed: the one-sided gate.",
    ),
    "figure_4": FigureEntry(
        title="Protocol A, the Polarity Dial",
        caption="Signed axes whose negative side is larger by α. Left: reconstruction error over "
        "the sweep; right: calibration slopes of the latents that serve each sign, 1 being none "
        "too small.",
        protocol="polarity_dial",
    ),
    "figure_5": FigureEntry(
        title="Protocol B, anomalies",
        caption="How well the code of one latent tells a large excursion of one axis in one "
        "direction from everything else, under budgets of H latents for K axes. 0.5 is chance.",
        averaged=True,
        protocol="anomalies",
    ),
    "figure_6": FigureEntry(
        title="Protocol C on a plane",
        caption="Features in opposite pairs, and the latents that each variant spends on them.",
        protocol="geometry",
    ),
    "figure_7": FigureEntry(
        title="Activations of one latent",
        caption="A latent that serves both poles of a pair: two lobes and the dead zone between "
        "them.",
        protocol="consolidation",
    ),
    "figure_8": FigureEntry(
        title="Protocol C against superposition",
        caption="Reconstruction, and the share of poles that some latent serves, against pairs per "
        "dimension.",
        averaged=True,
        protocol="consolidation",
    ),
    "figure_9": FigureEntry(
        title="Pair Consolidation Rate",
        caption="Share of pairs whose two poles are served by the two signs of one latent, against "
        "superposition and against the cosine that is asked for.",
        averaged=True,
        protocol="consolidation",
    ),
    "figure_10": FigureEntry(
        title="Robustness of consolidation",
        caption="The same where both poles may be active together, and where they are not "
        "antipodal.",
        averaged=True,
        protocol="robustness",
    ),
}
"""Figures that need no language model."""
FIGURE_PROTOCOLS = {
    name: entry.protocol for name, entry in SYNTHETIC_FIGURES.items() if entry.protocol
}
"""Figure -> the protocol whose runs it shows."""


def shows_dial(name: str) -> bool:
    """Whether a figure is one of ``DIAL_FIGURES``, of whatever recipe."""
    return name.partition(RECIPE_MARK)[0] in DIAL_FIGURES


def shows_probes(name: str) -> bool:
    """Whether a figure is one of ``PROBE_FIGURES``, of whatever recipe."""
    return name.partition(RECIPE_MARK)[0] in PROBE_FIGURES


def title_and_caption(name: str) -> tuple[str, str]:
    """What readers are told of a figure."""
    name, mark, recipe = name.partition(RECIPE_MARK)
    known = FIGURES | SPECIFICATION_FIGURES | DIAL_FIGURES | PROBE_FIGURES | CURVE_FIGURES
    known |= SYNTHETIC_FIGURES | FAMILY_FIGURES
    entry = known[name.removesuffix(VARIANTS_SUFFIX)]
    every = name.endswith(VARIANTS_SUFFIX)
    sentences = [entry.caption, *[EACH_SETTING] * (name in SPECIFICATION_FIGURES)]
    if entry.averaged:
        sentences += (
            [AT_ONE_LAMBDA] if entry.protocol else [EACH_POINT, *([SHADED] * (name in FIGURES))]
        )
    sentences += [EVERY_SWEEP] * every
    title = f"{entry.title}, every variant" if every else entry.title
    return f"{title}, recipe {recipe}" if mark else title, " ".join(sentences)
