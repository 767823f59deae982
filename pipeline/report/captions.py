"""Titles and captions of the figures in the report."""

from __future__ import annotations

from pipeline.study.outputs import VARIANTS_SUFFIX

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
SYNTHETIC_CAPTIONS = {
    "figure_1": (
        "Bi-Jump-ReLU",
        "The code of one latent against its encoder product: zero between the two thresholds, "
        "signed beyond them. Dashed: the one-sided gate.",
    ),
    "figure_4": (
        "Protocol A, the Polarity Dial",
        "Signed axes whose negative side is larger by α. Left: reconstruction error over the "
        "sweep; right: calibration slopes of the latents that serve each sign, 1 being none too "
        "small.",
    ),
    "figure_5": (
        "Protocol B, anomalies",
        "How well the code of one latent tells a large excursion of one axis in one direction "
        "from everything else, under budgets of H latents for K axes. 0.5 is chance.",
    ),
    "figure_6": (
        "Protocol C on a plane",
        "Features in opposite pairs, and the latents that each variant spends on them.",
    ),
    "figure_7": (
        "Activations of one latent",
        "A latent that serves both poles of a pair: two lobes and the dead zone between them.",
    ),
    "figure_8": (
        "Protocol C against superposition",
        "Reconstruction, and the share of poles that some latent serves, against pairs per "
        "dimension.",
    ),
    "figure_9": (
        "Pair Consolidation Rate",
        "Share of pairs whose two poles are served by the two signs of one latent, against "
        "superposition and against the cosine that is asked for.",
    ),
    "figure_10": (
        "Robustness of consolidation",
        "The same where both poles may be active together, and where they are not antipodal.",
    ),
}
PICTURES = ("figure_1", "figure_4", "figure_6", "figure_7")
"""Those that are not means at one lambda."""
SYNTHETIC_END = (
    "Means over seeds, ± one standard error, at the lambda whose L0 is nearest the truth."
)
SWEEP_END = (
    "Each point is one λ, averaged over seeds; bars, where there are several seeds, are ± one "
    "standard error on both axes. A cross marks a collapsed point. Lines only join points."
)
MAIN_END = "Within the shaded range both sweeps have points, and only there are they compared."
VARIANTS_END = "Every sweep of the grid; heavier lines are those of the main comparison."


def caption_of(name: str) -> tuple[str, str]:
    """Title and caption of a figure."""
    if name in SYNTHETIC_CAPTIONS:
        title, caption = SYNTHETIC_CAPTIONS[name]
        return title, caption if name in PICTURES else f"{caption} {SYNTHETIC_END}"
    kind, everything = name.removesuffix(VARIANTS_SUFFIX), name.endswith(VARIANTS_SUFFIX)
    title, caption = CAPTIONS[kind]
    parts = [caption] if kind == "figure_11" else [caption, SWEEP_END]
    if everything:
        return f"{title}, every variant", " ".join([*parts, VARIANTS_END])
    return title, " ".join(parts if kind == "figure_11" else [*parts, MAIN_END])
