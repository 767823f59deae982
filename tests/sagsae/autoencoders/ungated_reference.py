"""The families without a gate as their formulas read, in plain autograd, one token at a time.

Independent of the package's own code: no selection, loss or estimator is shared with it.
"""

from __future__ import annotations

import torch
from torch import Tensor

SIGNED = {"absrelu", "abstopk", "absbatchtopk", "absjumprelu", "matryoshka_absbatchtopk"}
BY_BATCH = {"batchtopk", "absbatchtopk", "matryoshka_batchtopk", "matryoshka_absbatchtopk"}
MATRYOSHKA = {"matryoshka_batchtopk", "matryoshka_absbatchtopk"}
ENDS = (1 / 32, 3 / 32, 7 / 32, 15 / 32, 1.0)


def pre_activations(p: dict[str, Tensor], x: Tensor, centred: bool) -> Tensor:
    read = x - p["b_dec"] if centred else x
    return read @ p["W_enc"] + p["b_enc"]


def kept(name: str, pre: Tensor, k: int) -> Tensor:
    """[B, H] bool: entries that a k-sparse family keeps, by sorting."""
    key = pre.detach().abs() if name in SIGNED else pre.detach().clamp(min=0)
    rows, width = key.shape
    if name in BY_BATCH:
        order = key.flatten().argsort(descending=True, stable=True)[: k * rows]
        mask = torch.zeros(rows * width, dtype=torch.bool)
        mask[order] = True
        mask = mask.view(rows, width)
    else:
        mask = torch.zeros(rows, width, dtype=torch.bool)
        for i in range(rows):
            mask[i, key[i].argsort(descending=True, stable=True)[:k]] = True
    return mask & (key > 0)


def code(name: str, p: dict[str, Tensor], pre: Tensor, k: int) -> Tensor:
    """The code in training, with the gradient that it has of its own."""
    if name == "relu":
        return torch.where(pre > 0, pre, 0.0)
    if name == "absrelu":
        t = p["threshold"]
        return torch.where(pre > t, pre - t, torch.where(pre < -t, pre + t, 0.0))
    if name == "jumprelu":
        return torch.where(pre > p["threshold"], pre, 0.0)
    if name == "absjumprelu":
        return torch.where(pre.abs() > p["threshold"], pre, 0.0)
    return torch.where(kept(name, pre, k), pre, 0.0)


def ends(width: int) -> list[int]:
    return sorted({int(share * width) for share in ENDS} - {0})


def auxiliary(name: str, p: dict[str, Tensor], pre: Tensor, error: Tensor, dead: Tensor, most: int):
    """AuxK, token by token; error without gradients."""
    latents = dead.nonzero()[:, 0].tolist()
    if not latents:
        return error.new_zeros(())
    total = error.new_zeros(())
    for i in range(len(pre)):
        values = pre.detach()[i]
        sizes = {h: float(values[h].abs() if name in SIGNED else values[h]) for h in latents}
        chosen = sorted(latents, key=lambda h: -sizes[h])[:most]
        guess = sum(
            (
                (pre[i, h] if name in SIGNED else torch.relu(pre[i, h])) * p["W_dec"][h]
                for h in chosen
            ),
            torch.zeros_like(error[i]),
        )
        total = total + (error[i] - guess).square().sum()
    spread = (error - error.mean(0)).square().sum()
    return total / spread


def losses(
    name: str,
    p: dict[str, Tensor],
    x: Tensor,
    *,
    knob: float,
    centred: bool,
    free: bool,
    dead: Tensor,
    most: int,
) -> tuple[dict[str, Tensor], Tensor]:
    """Raw terms, and the code."""
    pre = pre_activations(p, x, centred)
    z = code(name, p, pre, int(knob))
    terms = {}
    x_hat = z @ p["W_dec"] + p["b_dec"]
    terms["reconstruction"] = (x - x_hat).square().sum(1).mean()
    if name in MATRYOSHKA:
        terms["levels"] = x.new_zeros(()) + sum(
            (x - z[:, :m] @ p["W_dec"][:m] - p["b_dec"]).square().sum(1).mean()
            for m in ends(z.shape[1])[:-1]
        )
    if name in ("relu", "absrelu"):
        norms = p["W_dec"].norm(dim=1) if free else torch.ones_like(p["b_enc"])
        terms["penalty"] = (z.abs() * norms).sum(1).mean()
    if name in ("jumprelu", "absjumprelu"):
        terms["penalty"] = (z != 0).double().sum(1).mean()
    if "topk" in name:
        terms["auxiliary"] = auxiliary(name, p, pre, (x - x_hat).detach(), dead, most)
    return terms, z


def threshold_gradient(
    name: str, p: dict[str, Tensor], x: Tensor, lam: float, centred: bool, band: float
) -> Tensor:
    """The estimated gradient of JumpReLU's thresholds, latent by latent as the paper writes it."""
    with torch.no_grad():
        pre = pre_activations(p, x, centred)
        z = code(name, p, pre, 0)
        upstream = 2 / len(x) * (z @ p["W_dec"] + p["b_dec"] - x) @ p["W_dec"].T
        found = torch.zeros_like(p["threshold"])
        for h in range(len(found)):
            t = p["threshold"][h]
            size = pre[:, h].abs() if name in SIGNED else pre[:, h]
            sign = pre[:, h].sign() if name in SIGNED else 1.0
            window = ((size - t).abs() / band < 0.5).double()
            found[h] = (-(t / band) * window * sign * upstream[:, h]).sum()
            found[h] += (-(1 / band) * window * lam / len(x)).sum()
        return found
