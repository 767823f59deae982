"""Figure 1: Bi-Jump-ReLU beside the one-sided gate, computed by the variants themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.analysis.figure import figure, no_language_model
from pipeline.analysis.figures import mpl
from pipeline.analysis.figures.panels import BAND
from pipeline.analysis.figures.shown import Drawn, Shown

if TYPE_CHECKING:
    import torch

THETA_POS, THETA_NEG = 0.6, 0.9
UNIT = {"W_enc": 1.0, "W_dec": 1.0}
# Variant -> the parameters it is drawn with. They only serve to tell the parts apart.
PARAMETERS = {
    "sagsae_sym": UNIT
    | {"theta_pos": THETA_POS, "theta_neg": THETA_NEG, "r": 0.1, "c_pos": 0.0, "c_neg": 0.2},
    "gated": UNIT | {"b_gate": -THETA_POS, "r_mag": 0.1, "b_mag": 0.0},
}
LOOKS: dict[str, dict[str, Any]] = {
    "sagsae_sym": {"label": "Bi-Jump-ReLU (sign-aware)", "color": "#D55E00", "lw": 1.8},
    "gated": {"label": "Jump-ReLU (gated)", "color": "#0072B2", "ls": "--", "lw": 1.2},
}


def code(variant: str, u: torch.Tensor) -> list[float]:
    """Codes [n] of one latent on one input coordinate, so that u [n] is its encoder product."""
    from sagsae.autoencoders.weights import build

    sae = build(variant, 1, 1)
    for name, value in PARAMETERS[variant].items():
        sae.params[name].fill_(value)
    return sae.code(u[:, None])[:, 0].tolist()


@figure([], when=no_language_model, all_recipes=True)
def figure_1(study: Shown) -> Drawn:
    """Bi-Jump-ReLU.

    A line shows the code of one latent against its encoder product. The solid one is zero between
    two thresholds, the dashed one below a single threshold.
    """
    import torch

    u = torch.linspace(-2, 2, 1601)
    table = pd.DataFrame({"u": u.tolist(), **{name: code(name, u) for name in LOOKS}})
    drawing = mpl.figure.Figure(figsize=(3.5, 2.6), layout="constrained")
    panel = drawing.subplots()
    panel.axhline(0, color="black", lw=0.5, zorder=1)
    panel.axvspan(-THETA_NEG, THETA_POS, color=BAND, alpha=0.3, lw=0, zorder=0)
    for variant, look in LOOKS.items():
        z = table[variant].where(table[variant].diff().abs() < 0.1)  # a jump is not joined
        panel.plot(table["u"], z, **look)
    panel.text((THETA_POS - THETA_NEG) / 2, -1.75, "dead zone", ha="center", color="#444444")
    panel.set_xticks([-2, -THETA_NEG, 0, THETA_POS, 2], ["−2", "−θ⁻", "0", "θ⁺", "2"])
    panel.set(xlabel="encoder product u", ylabel="code z", ylim=(-2.4, 2.4))
    panel.legend(loc="upper left", frameon=False)
    return drawing, table
