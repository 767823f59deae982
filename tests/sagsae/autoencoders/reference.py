"""The variants as their formulas read, in plain autograd; independent of the package's own code."""

from __future__ import annotations

import torch
from torch import Tensor


def gated(u: Tensor, v: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """z, a and p of the Gated SAE."""
    p = torch.relu(u + v["b_gate"])
    m = torch.relu(torch.exp(v["r_mag"]) * u + v["b_mag"])
    return (p > 0).to(u) * m, p, p


def sign_aware(u: Tensor, v: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """z, a and p+ + p- of SA-GSAE; a missing side's parameter is the shared one."""

    def side(name: str, suffix: str) -> Tensor:
        return v[name] if name in v else v[f"{name}_{suffix}"]

    p_pos = torch.relu(u - side("theta", "pos"))
    p_neg = torch.relu(-u - side("theta", "neg"))
    m_pos = torch.relu(torch.exp(side("r", "pos")) * u + side("c", "pos"))
    m_neg = torch.relu(-torch.exp(side("r", "neg")) * u + side("c", "neg"))
    z = (p_pos > 0).to(u) * m_pos - (p_neg > 0).to(u) * m_neg
    return z, p_pos - p_neg, p_pos + p_neg


def one_sided(u: Tensor, v: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """z, a and p+ of SA-GSAE without its negative side."""
    p = torch.relu(u - v["theta"])
    m = torch.relu(torch.exp(v["r"]) * u + v["c"])
    return (p > 0).to(u) * m, p, p


CODES = {
    "gated": gated,
    "sagsae": sign_aware,
    "sagsae_noaux": sign_aware,
    "sagsae_onesided": one_sided,
    "sagsae_sym": sign_aware,
    "sagsae_tied": sign_aware,
}
WITHOUT_AUXILIARY = {"sagsae_noaux"}


def loss(name: str, params: dict[str, Tensor], x: Tensor, lam: float) -> dict[str, Tensor]:
    """The three terms and the total, squares summed over d and averaged over the batch."""
    u = (x - params["b_dec"]) @ params["W_enc"]
    z, a, p = CODES[name](u, params)
    x_hat = z @ params["W_dec"] + params["b_dec"]
    x_aux = a @ params["W_dec"].detach() + params["b_dec"].detach()
    terms = {
        "reconstruction": (x - x_hat).square().sum(1).mean(),
        "penalty": p.sum(1).mean(),
        "auxiliary": (x - x_aux).square().sum(1).mean() * (name not in WITHOUT_AUXILIARY),
        "l0": (z != 0).sum(1).to(x).mean(),
    }
    total = terms["reconstruction"] + lam * terms["penalty"] + terms["auxiliary"]
    return {**terms, "total": total}
