"""A latent browser whose latents are made up, written by the code that writes real ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.cells.browser.latents import LatentsShown
from pipeline.cells.browser.page import Vocabulary, write_page, write_script
from pipeline.jobs.json_files import write_json
from pipeline.study.cell import Cell
from pipeline.study.dial import DialRun
from pipeline.study.metrics import CellMetrics
from pipeline.study.outputs import BROWSER_PAGE, SHOWN_CELL
from sagsae.activations.tokens import TokenStore
from sagsae.autoencoders.weights import build
from sagsae.evaluation.calibration import Firings
from sagsae.evaluation.profiles import BINS, INTERVALS, Bins, Lowest, Profiles
from sagsae.evaluation.steering.promoted import Promoted
from tests.helpers.made_study import metrics_of

D, CONTEXTS, LENGTH, ROWS, REACH = 16, 40, 64, 50_000, 20
HOSTILE = (
    "<script>window.harmed = 1</script>",
    '"><img src=x onerror="window.harmed=1">',
    "&lt;b>",
)
"""Tokens as a document may hold them."""


@dataclass(frozen=True)
class Made:
    """A cell, what is known of its latents, and the texts of the tokens."""

    cell: Cell
    profiles: Profiles
    promoted: Promoted
    tokens: TokenStore
    texts: list[str]


def cell_of(variant: str, width: int) -> Cell:
    return Cell(
        model="small", hookpoint="resid", variant=variant, recipe="", width=width, lam=0.1, seed=0
    )


def texts() -> list[str]:
    """Of 2,000 tokens: words that name their number, the hostile ones, and ends of lines."""
    words = [f" word{i}" if i % 3 else f"part{i}" for i in range(2_000)]
    words[: len(HOSTILE)] = HOSTILE
    words[10], words[11], words[12] = "\n", "\t", ""
    return words


def make(variant: str, width: int) -> Made:
    """Latents whose numbers follow from a seed. Every tenth is dead, every other fifth has one
    sign. Latent 1 fires strongest in context 0, which begins with the hostile tokens, and promotes
    the first of them."""
    draw, two_sided = np.random.default_rng(width), variant != "gated"
    ids = draw.integers(10, 2_000, (CONTEXTS, LENGTH), dtype=np.int32)
    ids[0, : len(HOSTILE)] = range(len(HOSTILE))
    tokens = TokenStore(ids, np.zeros_like(ids))
    wanted = np.exp(draw.uniform(2, 8, (2, width)))
    wanted[1, ::5] = 0
    wanted[:, ::10] = 0
    wanted[1] *= two_sided
    bins = Bins(np.zeros((2, width)))
    bins.counts[:] = np.ceil(wanted[..., None] * np.exp(-np.arange(BINS) / 12) / 12)
    n = bins.counts.sum(2)
    bins.exponents[:] = np.where(n > 0, -2, bins.exponents)
    energy = n * draw.uniform(0.01, 0.1, (2, width))
    firings = Firings(*(torch.from_numpy(x) for x in (n, energy, energy * 0.05)))
    around = 2 * REACH + 1
    strongest = Lowest(2 * width, 10, around)
    drawn = Lowest(2 * width * INTERVALS, 2, around)
    for lowest, per in ((strongest, 1), (drawn, INTERVALS)):
        _fill(lowest, np.repeat((n > 0).ravel(), per), np.repeat([1, -1], width * per), draw)
    strongest.place[1, 0] = 2  # context 0, position 2
    up, down = (torch.from_numpy(draw.integers(0, 2_000, (width, 10))) for _ in range(2))
    up[1, 0] = 0
    scores = torch.linspace(5, 3, 10).repeat(width, 1)
    return Made(
        cell_of(variant, width),
        Profiles(ROWS, firings, bins, strongest, drawn),
        Promoted(up, scores, down, -scores),
        tokens,
        texts(),
    )


def _fill(lowest: Lowest, fires: np.ndarray, sign: np.ndarray, draw: np.random.Generator) -> None:
    keys, k = lowest.score.shape
    size = -np.sort(-draw.uniform(0.03, 0.25, (keys, k)), 1)
    lowest.score[:] = np.where(fires[:, None], -size, np.inf)
    lowest.value[:] = sign[:, None] * size
    lowest.place[:] = draw.integers(1, CONTEXTS * LENGTH, (keys, k))
    for offset in (-7, -1, 3) if k else ():  # as dense as a real latent is around its firings
        lowest.window[:, :, REACH + offset] = lowest.value * draw.uniform(-0.3, 0.9, (keys, k))
    lowest.window[:, :, REACH] = lowest.value


def write(
    made: Made,
    root: Path,
    rival: Cell | None = None,
    near: tuple[torch.Tensor, torch.Tensor] | None = None,
    dials: list[DialRun] | None = None,
) -> Path:
    """Write one cell below the root of a browser; its cell.json."""
    folder = root / "data" / made.cell.path
    folder.mkdir(parents=True)
    metrics = CellMetrics.model_validate(
        metrics_of(made.cell, D, l0=40.0, r2=0.8, dead=int(made.cell.width // 10))
    )
    sae = build(made.cell.variant, D, made.cell.width)
    sae.params["theta" if made.cell.variant != "gated" else "b_gate"].fill_(0.02)
    beside = (rival, near) if rival else None
    given = made.profiles, made.promoted, made.tokens, dials or []
    latents = LatentsShown(metrics, sae, beside, *given)
    vocabulary = Vocabulary(np.arange(2_000))
    size = latents.write(folder, vocabulary) + write_script(folder, "vocabulary", made.texts)
    write_json(folder / SHOWN_CELL, latents.summary | {"spec": "0" * 16, "bytes": size})
    return folder / SHOWN_CELL


def write_browser(root: Path, width: int, dials: list[DialRun] | None = None) -> Path:
    """A browser of a two-sided cell and its Gated rival of twice the width; its page."""
    ours, theirs = make("sagsae_tied", width), make("gated", 2 * width)
    near = torch.stack([torch.arange(width), torch.arange(width) + width], 1)
    back = torch.stack([torch.arange(2 * width) % width, torch.arange(2 * width) % width], 1)
    cosines = torch.tensor([[0.93, -0.41]])
    files = [
        write(ours, root, theirs.cell, (near, cosines.repeat(width, 1)), dials),
        write(theirs, root, ours.cell, (back, cosines.repeat(2 * width, 1))),
    ]
    write_page("made-up", "A note.", files, root / BROWSER_PAGE)
    return root / BROWSER_PAGE
