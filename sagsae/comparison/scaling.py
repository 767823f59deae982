"""How the error falls with width, L0 and training: the law of Gao et al. (arXiv 2406.04093).

The share of variance that is not explained, L = 1 - R2, at width n, L0 k and T training tokens is

    L = exp(a + b_n ln n + b_k ln k + g ln n ln k) + exp(z + e ln k) + exp(t - tau ln T)

A grid that does not tell a term from the others gets a law without the term: b_k, g and e need two
L0, the last term needs three budgets, and b_n and z need three widths. The error never rises with
width or training at any L0 of the points: a fit to few points would else predict anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import least_squares

from sagsae.comparison.sweeps import Floats

if TYPE_CHECKING:
    import pandas as pd

# What a law knows an error by.
AXES = ("width", "l0", "training_tokens")
STARTS = 8
# In ln L, from which a residual counts linearly: Huber's loss.
HUBER = 0.02
# Where a fit ends.
EXACT = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12, "max_nfev": 2000}
# L0 that differ by less than this factor are one.
SAME_L0 = 1.15
# The largest size of a parameter: a larger one is of a term that a few points alone have.
MOST = 10.0
# A fit needs more points than parameters by more than this.
SPARE_POINTS = 2


@dataclass(frozen=True, kw_only=True)
class ScalingLaw:
    """A fitted law; see the head of this module.

    Attributes:
        terms: Parameters that the grid tells apart, by name. Logarithms are of values over
            ``reference``. Few points leave some open: on another processor a fit of the same points
            ends at other parameters, which say nearly the same error.
        reference: Geometric means of `AXES` of the cells.
    """

    terms: dict[str, float]
    reference: dict[str, float]

    def error(self, cells: pd.DataFrame) -> Floats:
        """1 - R2 of some cells, [n] float64, by their columns `AXES`."""
        parts = _parts(list(self.terms), _logs(cells, self.reference))
        found: Floats = np.exp(np.logaddexp.reduce(parts @ [*self.terms.values()], axis=0))
        return found


def scaling(cells: pd.DataFrame) -> ScalingLaw:
    """Fit a law.

    Args:
        cells: Rows of `sagsae.results`, or means over seeds: R2 and the columns `AXES`. Cells of
            one width and budget whose L0 differ by less than a factor of `SAME_L0` are one point.

    Raises:
        ValueError: fewer than three widths and fewer than three budgets, no more points than
            parameters and `SPARE_POINTS`, or an error that is not above zero.
    """
    names, error = terms_of(cells), 1 - cells["r2"].to_numpy(float)
    if not names:
        raise ValueError("a law needs three widths or three budgets of training tokens")
    if (points := point_count(cells)) <= len(names) + SPARE_POINTS:
        raise ValueError(
            f"{points} points for {len(names)} parameters: give {len(names) + SPARE_POINTS + 1} or "
            "more; seeds of one setting are one point"
        )
    if not (error > 0).all():
        raise ValueError("R2 of 1 or more has no logarithm of its error: leave such cells out")
    unit = _logs(cells, dict.fromkeys(AXES, 1.0))
    reference = {name: float(np.exp(logs.mean())) for name, logs in unit.items()}
    logs, wanted, rng = _logs(cells, reference), np.log(error), np.random.default_rng(0)
    falls = np.array([name in ("b_n", "g", "tau") for name in names])
    bounds = np.full(len(names), -MOST), np.where(falls, 0.0, MOST)
    to_terms = _terms(names, logs["l0"])
    parts = _parts(names, logs) @ to_terms

    def missed(values: Floats) -> Floats:
        errors: Floats = np.logaddexp.reduce(parts @ values, axis=0) - wanted
        return errors

    def slopes(values: Floats) -> Floats:
        shares = np.exp(parts @ values - missed(values) - wanted)
        found: Floats = np.einsum("pn,pnk->nk", shares, parts)
        return found

    fits = []
    for _ in range(STARTS):
        start = rng.normal(0, 0.5, len(names))
        start[[name in ("a", "z", "t") for name in names]] += wanted.mean() - 1
        start[falls] = -abs(start[falls])
        fits.append(
            least_squares(
                missed, start, slopes, bounds=bounds, loss="huber", f_scale=HUBER, **EXACT
            )
        )
    best = min(fits, key=lambda fit: float(fit.cost))
    terms = dict(zip(names, (to_terms @ best.x).tolist(), strict=True))
    return ScalingLaw(terms=terms, reference=reference)


def _parts(names: list[str], logs: dict[str, Floats]) -> Floats:
    """[terms of the law, n, parameters]: what each parameter has as a factor in the logarithm of
    each term."""
    n, k, one = logs["width"], logs["l0"], np.ones(len(logs["width"]))
    known = (
        {"a": one, "b_n": n, "b_k": k, "g": n * k},
        {"z": one, "e": k},
        {"t": one, "tau": -logs["training_tokens"]},
    )
    kept = [part for part in known if part.keys() & set(names)]
    found: Floats = np.array([[part.get(name, 0 * one) for name in names] for part in kept])
    return found.swapaxes(1, 2)


def _terms(names: list[str], l0: Floats) -> Floats:
    """[parameters, fitted]: parameters from what is fitted: in the place of b_n and g the slopes
    over ln n at the lowest and the highest L0, in that of tau its negative. None of these is above
    zero."""
    found = np.eye(len(names))
    if "g" in names:
        both, low, high = [names.index("b_n"), names.index("g")], l0.min(), l0.max()
        found[np.ix_(both, both)] = np.array([[high, -low], [-1, 1]]) / (high - low)
    if "tau" in names:
        found[names.index("tau"), names.index("tau")] = -1
    return found


def _logs(cells: pd.DataFrame, reference: dict[str, float]) -> dict[str, Floats]:
    """Logarithms of columns over a reference."""
    return {name: np.log(cells[name].to_numpy(float) / at) for name, at in reference.items()}


def _levels(l0: Floats) -> int:
    """How many L0 there are; those that differ by less than a factor of `SAME_L0` are one."""
    at = np.unique(l0)
    return 1 + int((at[1:] / at[:-1] > SAME_L0).sum())


def point_count(cells: pd.DataFrame) -> int:
    """Settings of width, training tokens and L0 that cells are seeds of."""
    return sum(_levels(of["l0"].to_numpy(float)) for _, of in cells.groupby([AXES[0], AXES[2]]))


def rivals(cells: pd.DataFrame, axis: str, asked: pd.Series) -> tuple[float | None, float | None]:
    """Two predictions of 1 - R2 that need no law, to hold a law against.

    Args:
        cells: Those that are known: R2 and the columns `AXES`.
        axis: width or training_tokens, the one on which the prediction goes beyond them.
        asked: What is predicted, by the names `AXES`.

    Returns:
        The error of the largest known value of the axis: nothing more is gained; and that error
        times the last ratio again, per logarithm of the axis: the last step is repeated. Each at
        the L0 asked for, linear in logarithms between known L0; None where it is not reached, or
        where there is no step.
    """
    other = AXES[2] if axis == AXES[0] else AXES[0]
    known = [
        (float(size), _at_l0(of, float(asked["l0"])))
        for size, of in cells[cells[other] == asked[other]].groupby(axis)
    ]
    reached = [(size, error) for size, error in known if error is not None]
    if not reached or known[-1][1] is None:
        return None, None
    size, error = reached[-1]
    if len(reached) < 2:
        return error, None
    before, larger = reached[-2]
    slope = np.log(error / larger) / np.log(size / before)
    return error, float(error * np.exp(slope * np.log(float(asked[axis]) / size)))


def _at_l0(cells: pd.DataFrame, l0: float) -> float | None:
    """1 - R2 of cells of one width and budget at an L0; None where they do not reach it."""
    at = cells.sort_values("l0")
    known, error = (np.log(x.to_numpy(float)) for x in (at["l0"], 1 - at["r2"]))
    first = np.concatenate([[True], np.diff(known) > np.log(SAME_L0)]).cumsum()
    known, error = (np.bincount(first, x)[1:] / np.bincount(first)[1:] for x in (known, error))
    if not known[0] - np.log(SAME_L0) <= np.log(l0) <= known[-1] + np.log(SAME_L0):
        return None
    return float(np.exp(np.interp(np.log(l0), known, error)))


def terms_of(cells: pd.DataFrame) -> list[str]:
    """Names of the parameters that a grid tells apart; none for fewer than three widths and three
    budgets."""
    widths, l0, budgets = (np.unique(cells[name]) for name in AXES)
    levels = _levels(l0)
    wide, long = widths.size > 2, budgets.size > 2
    names = ["a"] if wide or long else []
    if wide:
        names += ["b_n", "z"]
    if names and levels > 1:
        names += ["b_k", "e", "g"] if wide else ["b_k"]
    return names + (["t", "tau"] if long else [])
