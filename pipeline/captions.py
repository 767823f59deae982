"""Titles and captions of the figures in the report."""

from __future__ import annotations

from pipeline.study import VARIANTS_SUFFIX

CAPTIONS = {
    "figure_r2": (
        "R2 against L0",
        "Share of the variance of held-out activations that the autoencoder explains, against the "
        "mean number of active latents a token. Higher and further left is better.",
    ),
    "figure_2": (
        "Dead fraction against L0",
        "Share of latents that never fire on the held-out tokens. Lower is better. Zero is drawn "
        "at zero: below one latent the axis is linear, above it logarithmic.",
    ),
    "figure_3": (
        "Loss Recovered against L0",
        "Share of the next-token loss that the spliced reconstruction wins back from zero "
        "ablation. Higher is better; 1 is the untouched model. Hollow points: ablating this "
        "hookpoint costs the model so little that the ratio is noise.",
    ),
    "figure_11": (
        "Calibration slopes",
        "Empirical distribution over latents of the slope by which a code would have to be "
        "multiplied to fit best, each sign apart (negative sides paler), at the lambda whose L0 is "
        "nearest the first matched L0. 1 is no shrinkage; above 1 the code is too small. Shaded: "
        "± one standard error over seeds. Each end of the axis may cut off 5 % of a line.",
    ),
}
SWEEP_END = (
    "Each point is one λ, averaged over seeds; bars, where there are several seeds, are ± one "
    "standard error on both axes. A cross marks a collapsed point. Lines only join points."
)
MAIN_END = "Within the shaded range both sweeps have points, and only there are they compared."
VARIANTS_END = "Every sweep of the grid; heavier lines are those of the main comparison."


def caption_of(name: str) -> tuple[str, str]:
    """Title and caption of a figure."""
    kind, everything = name.removesuffix(VARIANTS_SUFFIX), name.endswith(VARIANTS_SUFFIX)
    title, caption = CAPTIONS[kind]
    parts = [caption] if kind == "figure_11" else [caption, SWEEP_END]
    if everything:
        return f"{title}, every variant", " ".join([*parts, VARIANTS_END])
    return title, " ".join(parts if kind == "figure_11" else [*parts, MAIN_END])
