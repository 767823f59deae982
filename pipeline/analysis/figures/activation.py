"""Figure 1: Bi-Jump-ReLU beside the one-sided gate, computed by the variants themselves."""

from __future__ import annotations

import pandas as pd
import torch
from matplotlib.figure import Figure

from pipeline.analysis.figures.canvas import DPI
from pipeline.analysis.figures.panels import BAND
from pipeline.analysis.figures.shown import Drawn, Shown
from sagsae.autoencoders.base import Autoencoder
from sagsae.autoencoders.storage import build

GAIN = 0.1
THETA_POS, THETA_NEG = 0.6, 0.9
SHOWN: dict[str, dict[str, float]] = {
    "sagsae_sym": {
        "theta_pos": THETA_POS,
        "theta_neg": THETA_NEG,
        "r": GAIN,
        "c_pos": 0.0,
        "c_neg": 0.2,
    },
    "gated": {"b_gate": -THETA_POS, "r_mag": GAIN, "b_mag": 0.0},
}
"""Variant -> the parameters it is drawn with. They only serve to tell the parts apart."""
NAMES = {"sagsae_sym": "Bi-Jump-ReLU (sign-aware)", "gated": "Jump-ReLU (gated)"}


def example(variant: str) -> Autoencoder:
    """One latent on one input coordinate with ``SHOWN`` parameters, so that u = x."""
    sae = build(variant, 1, 1)
    for name, value in {"W_enc": 1.0, "W_dec": 1.0, **SHOWN[variant]}.items():
        sae.params[name].fill_(value)
    return sae


def curves() -> pd.DataFrame:
    """Columns u and, by variant, z."""
    u = torch.linspace(-2, 2, 1601)
    codes = {variant: example(variant).encode(u[:, None])[:, 0].tolist() for variant in SHOWN}
    return pd.DataFrame({"u": u.tolist(), **codes})


def figure_1(study: Shown) -> Drawn:
    """Bi-Jump-ReLU.

    The code of one latent against its encoder product: zero between the two thresholds, signed
    beyond them. Dashed: the one-sided gate.
    """
    table = curves()
    figure = Figure(figsize=(3.5, 2.6), dpi=DPI, layout="constrained")
    panel = figure.subplots()
    panel.axhline(0, color="black", lw=0.5, zorder=1)
    panel.axvspan(-THETA_NEG, THETA_POS, color=BAND, alpha=0.3, lw=0, zorder=0)
    looks = {"sagsae_sym": ("#D55E00", "-", 1.8), "gated": ("#0072B2", "--", 1.2)}
    for variant, (colour, line, weight) in looks.items():
        z = table[variant].where(table[variant].diff().abs() < 0.1)  # a jump is not joined
        panel.plot(table["u"], z, color=colour, ls=line, lw=weight, label=NAMES[variant])
    panel.text((THETA_POS - THETA_NEG) / 2, -1.75, "dead zone", ha="center", color="#444444")
    panel.set_xticks([-2, -1, -THETA_NEG, 0, THETA_POS, 1, 2])
    panel.set_xticks([-2, -THETA_NEG, 0, THETA_POS, 2], ["−2", "−θ⁻", "0", "θ⁺", "2"])
    panel.set(xlabel="encoder product u", ylabel="code z", ylim=(-2.4, 2.4))
    panel.legend(loc="upper left", frameon=False)
    return figure, table
