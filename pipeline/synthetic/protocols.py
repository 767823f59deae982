"""Stage: one seed of one synthetic protocol, measured against the truth.

    python -m pipeline synthetic-run --spec JSON --out synthetic/runs/consolidation_seed0.json

The specification is ``Study.synthetic_spec``. What a protocol sweeps
stands in ``pipeline.synthetic.sizes``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.jobs.json_files import digest, write_json
from pipeline.jobs.progress import Progress
from pipeline.jobs.stage import locked
from pipeline.study.synthetic import SyntheticSpec
from pipeline.synthetic import sizes
from sagsae.synthetic import TAU
from sagsae.synthetic.anomalies import ExcursionSource, direction_aurocs
from sagsae.synthetic.pairs import (
    Matches,
    PairSample,
    PairSource,
    antipodal,
    at_cosine,
    match_poles,
)
from sagsae.synthetic.runs import Drawn, Measured, Source, measure, train, unit_directions
from sagsae.training.recipe import Recipe

# setting, variant, multiple, width, lam, metrics (name -> number or None), and perhaps what a
# figure shows of the run.
Row = dict[str, Any]

# Histogram of a latent's activations: bins between -EDGE and EDGE, in units of the source.
BINS, EDGE = 80, 2.0

# Of every run; what is not here is as in section training.
SETTINGS: dict[str, Any] = {"learning_rate": 3e-3, "lr_warmup_steps": 50}
SETTINGS |= {"lambda_warmup_steps": 100, "matmul_dtype": "float32"}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One seed's runs: trains, measures, and counts them."""

    seed: int
    report: Callable[[], None]

    def sweep(
        self, setting: str, source: Source[Drawn], section: sizes.Protocol, pairs: int
    ) -> Iterator[tuple[Row, Measured[Drawn]]]:
        """Every contestant at every lambda on one source; rows hold what all protocols report."""
        for contestant in section.contestants:
            width = contestant.width_for(pairs)
            for lam in section.lambdas:
                given = SETTINGS | {"steps": section.steps, "batch_size": section.batch_size}
                recipe = Recipe(lam=lam, **given)
                sae = train(source, contestant.variant, width, recipe, self.seed)
                run = measure(sae, source, section.evaluation_rows, self.seed)
                shared = ("l0", "r2", "dead_fraction")
                metrics = {name: getattr(run.metrics, name) for name in shared}
                metrics["mse"] = run.mse
                row = {"setting": setting, **asdict(contestant), "width": width, "lam": lam}
                yield row | {"metrics": metrics}, run
                self.report()

    def matched(
        self, setting: str, source: PairSource, section: sizes.Protocol, pairs: int
    ) -> Iterator[tuple[Row, Measured[PairSample], Matches]]:
        """A sweep on a source of pairs, and which side of which latent serves each pole."""
        for row, run in self.sweep(setting, source, section, pairs):
            yield row, run, match_poles(run.W_dec, run.z, source.poles, run.sample.active())


# Probability of an axis, or of a pole, to be active; standard deviation of the noise on every
# coordinate.
ACTIVE, NOISE = 0.1, 0.05


def polarity_dial(section: sizes.PolarityDial, bench: Bench) -> Iterator[Row]:
    """Protocol A: calibration slopes of the two signs of each axis."""
    poles = antipodal(unit_directions(section.pairs, section.d, bench.seed))
    for alpha in section.alphas:
        source = PairSource(poles=poles, probability=ACTIVE / 2, negative_scale=alpha, noise=NOISE)
        setting = f"alpha={alpha:g}"
        for row, run, matches in bench.matched(setting, source, section, section.pairs):
            matched = matches.slopes(run.metrics.slopes)
            served = matches.found(TAU).double()
            for side, sign in enumerate(("pos", "neg")):
                row["metrics"][f"slope_{sign}"] = _number(matched[:, side].nanmean())
                row["metrics"][f"found_{sign}"] = float(served[:, side].mean())
            row["metrics"]["target_l0"] = source.active_pairs
            yield row


# Standard deviation of every axis in every sample; share of the samples that have an excursion.
FLUCTUATION, EXCURSIONS = 0.3, 0.5
# Smallest and largest excursion.
LOW, HIGH = 1.0, 2.0


def anomalies(section: sizes.Anomalies, bench: Bench) -> Iterator[Row]:
    """Protocol B: AUROC of an excursion's axis and direction, from one latent's code."""
    axes = unit_directions(section.pairs, section.d, bench.seed)
    source = ExcursionSource(
        axes=axes, fluctuation=FLUCTUATION, share=EXCURSIONS, low=LOW, high=HIGH
    )
    for budget in section.budgets:
        setting = f"budget={budget:g}"
        contestants = tuple(sizes.Contestant(name, budget) for name in section.variants)
        under = replace(section, contestants=contestants)
        for row, run in bench.sweep(setting, source, under, section.pairs):
            aurocs = direction_aurocs(run.W_dec, run.z, axes, run.sample)
            row["metrics"] |= {
                "auroc_pos": float(aurocs[:, 0].mean()),
                "auroc_neg": float(aurocs[:, 1].mean()),
                "auroc_mean": float(aurocs.mean()),
                "auroc_worse": float(aurocs.min(1).values.mean()),
                "target_l0": EXCURSIONS,
            }
            yield row


# Cosines from which a pole counts as found; the curve over them.
TAUS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)


def consolidation(section: sizes.Consolidation, bench: Bench) -> Iterator[Row]:
    """Protocol C: pairs served by one latent, and by two, against superposition."""
    for superposition in section.superpositions:
        pairs = max(1, round(superposition * section.d))
        source = PairSource(
            poles=antipodal(unit_directions(pairs, section.d, bench.seed)), probability=0.5 / pairs
        )
        setting = f"superposition={superposition:g}"
        for row, run, matches in bench.matched(setting, source, section, pairs):
            row["metrics"] |= _pair_metrics(matches, source)
            for tau in TAUS:
                row["metrics"][f"pcr_{tau:g}"] = _share(matches.consolidated(tau))
                row["metrics"][f"separate_{tau:g}"] = _share(matches.separate(tau))
            if superposition == min(section.superpositions):
                row["histogram"] = histogram(run, matches)
            yield row


def robustness(section: sizes.Robustness, bench: Bench) -> Iterator[Row]:
    """Consolidation where poles are active together, and where they are not antipodal."""
    directions = unit_directions(2 * section.pairs, section.d, bench.seed)
    kept, aside = directions[: section.pairs], directions[section.pairs :]
    sources = {
        f"rho={rho:g}": PairSource(poles=antipodal(kept), probability=ACTIVE, correlation=rho)
        for rho in section.correlations
    } | {
        f"cosine={cosine:g}": PairSource(poles=at_cosine(kept, aside, cosine), probability=ACTIVE)
        for cosine in section.cosines
    }
    for setting, source in sources.items():
        for row, _, matches in bench.matched(setting, source, section, section.pairs):
            row["metrics"] |= _pair_metrics(matches, source)
            yield row


# Evenly spread over the circle.
PAIRS_ON_PLANE = 3


def geometry(section: sizes.Geometry, bench: Bench) -> Iterator[Row]:
    """Pairs on a plane, with every latent's direction and the signs that it fires with."""
    pairs = PAIRS_ON_PLANE
    angles = torch.arange(pairs, dtype=torch.float64) * torch.pi / pairs
    directions = torch.stack([angles.cos(), angles.sin()], dim=1).float()
    source = PairSource(poles=antipodal(directions), probability=0.5 / pairs)
    for row, run, matches in bench.matched(f"pairs={pairs}", source, section, pairs):
        row["metrics"] |= _pair_metrics(matches, source)
        row["decoder"] = run.W_dec.tolist()
        counts = (run.metrics.n_pos, run.metrics.n_neg)
        row["fires"] = [[int(part[i]) for part in counts] for i in range(row["width"])]
        yield row


MEASURED: dict[str, Callable[[Any, Bench], Iterator[Row]]] = {
    protocol.__name__: protocol
    for protocol in (polarity_dial, anomalies, consolidation, robustness, geometry)
}


def histogram(run: Measured[PairSample], matches: Matches) -> Row | None:
    """Activations of the latent that serves both poles of the median pair, by cosine.

    None if no latent serves both poles of a pair.
    """
    pairs = matches.consolidated(TAU).nonzero()[:, 0]
    if not len(pairs):
        return None
    order = matches.cosine[pairs].min(1).values.argsort(stable=True)
    latent = int(matches.latent[pairs[order[len(pairs) // 2]], 0])
    z = run.z[:, latent] / run.sae.scale
    fired = z[z != 0]
    counts = torch.histc(fired, BINS, -EDGE, EDGE).long()
    return {
        "latent": latent,
        "counts": counts.tolist(),
        "edge": EDGE,
        "silent": int((z == 0).sum()),
        "outside": len(fired) - int(counts.sum()),
        "least": [_number(fired[fired > 0].min()), _number(fired[fired < 0].max())],
    }


def _pair_metrics(matches: Matches, source: PairSource) -> dict[str, float]:
    return {
        "pcr": _share(matches.consolidated(TAU)),
        "separate": _share(matches.separate(TAU)),
        "poles_found": _share(matches.found(TAU)),
        "target_l0": source.active_pairs,
    }


def _share(which: Tensor) -> float:
    return float(which.double().mean())


def _number(value: Tensor) -> float | None:
    """None for a value that does not exist."""
    return None if value.isnan() else float(value)


def main(spec: SyntheticSpec, out: Path) -> None:
    """Train and measure every setting, contestant and lambda of a protocol, for one seed.

    Args:
        spec: SyntheticSpec as JSON
        out: the .json of the runs
    """
    name, seed, section = spec.protocol, spec.seed, sizes.SIZES[spec.size][spec.protocol]
    progress, done = Progress(f"{name}, seed {seed}", section.runs, "runs"), count(1)
    bench = Bench(seed=seed, report=lambda: progress.update(next(done)))
    with locked(out.parent, out.stem):
        rows = list(MEASURED[name](section, bench))
        write_json(out, {"protocol": name, "seed": seed, "spec": digest(spec), "rows": rows})
