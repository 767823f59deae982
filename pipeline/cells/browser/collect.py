"""Stage: collect what the latent browser shows of one cell, as scripts that its page loads.

    python -m pipeline browser --spec JSON --cells-root DIR --heldout JSON
        --heldout-tokens JSON --asset JSON --dials JSON ... --out browser/data/<cell>/cell.json

``index.js`` has the numbers of all latents and is loaded whole; ``latents-<n>.js`` what is shown of
some of them, ``contexts-<n>.js`` the tokens of some contexts, ``vocabulary.js`` their texts.
``cell.json`` is written last.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.cells.browser.latents import LatentsShown
from pipeline.cells.browser.logits import with_raw_logits
from pipeline.cells.browser.page import Vocabulary, write_script
from pipeline.cells.looks import EvaluationError, MeasuredCells
from pipeline.data.fetch import load_asset, model_folder
from pipeline.data.manifests import open_store
from pipeline.data.tokenise import open_tokens
from pipeline.jobs.cache import using
from pipeline.jobs.json_files import digest, write_json
from pipeline.jobs.progress import Progress, say
from pipeline.jobs.stage import Device, device_of, locked
from pipeline.study.browser import BrowserSpec
from pipeline.study.cell import Cell
from pipeline.study.dial import DialRun
from pipeline.study.looks import chosen_cell
from pipeline.study.metrics import CellMetrics
from sagsae.activations.language_models import load_tokenizer, texts_of
from sagsae.evaluation.profiles import Keep, profile_latents
from sagsae.evaluation.steering.directions import nearest
from sagsae.evaluation.steering.promoted import promoted_tokens

# Tokens that each sign promotes.
PROMOTED = 10


def choose(spec: BrowserSpec, metrics: dict[Cell, CellMetrics]) -> tuple[Cell, Cell | None]:
    """The cell that is shown, and its rival if there is one.

    Raises:
        EvaluationError: no cell of the sweep fires.
    """
    shown = chosen_cell(spec, spec.shown, metrics)
    if shown is None:
        names = ", ".join(cell.path for cell in spec.shown)
        raise EvaluationError(f"no latent of {names} fires, so there is nothing to show")
    if not spec.by_level:
        spec = spec.model_copy(update={"level": metrics[shown].l0})
    return shown, chosen_cell(spec, spec.rival, metrics)


def main(
    spec: BrowserSpec,
    cells_root: Path,
    heldout: Path,
    heldout_tokens: Path,
    asset: Path,
    out: Path,
    dials: Sequence[Path] = (),
    device: Device = "auto",
) -> None:
    """Write the scripts of one cell, and what the page's list of cells says of it.

    Args:
        spec: BrowserSpec as JSON, or @FILE that holds it
        cells_root: folder of the cells, with metrics and weights
        heldout: manifest of the held-out store
        heldout_tokens: record of the held-out contexts
        asset: asset.json of the model
        out: JSON to write; the scripts lie beside it
        dials: what steering found
        device: where to compute; auto: a GPU where there is one

    Raises:
        EvaluationError: a cell that never fires, or weights of other metrics.
    """
    folder, place = out.parent, device_of(device)
    with locked(folder.parent, folder.name), using(heldout, heldout_tokens, asset):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        cells = MeasuredCells(cells_root, spec.metrics_of, place)
        cell, rival = choose(spec, cells.metrics)
        sae = cells.autoencoder(cell)
        store, contexts = open_store(heldout, spec.store), open_tokens(heldout_tokens)
        keep = Keep(top=spec.top)
        report = Progress(f"browse {cell.path}, twice", 2 * store.n_rows, "tokens").update
        profiles = profile_latents(sae, store, cell.place.reads, contexts, keep, place, report)
        say(f"browse {cell.path}: tokens that {sae.width:,} latents promote")
        model = load_asset(asset, spec.dtype, place)
        promoted = with_raw_logits(promoted_tokens(model, sae.W_dec, PROMOTED), model, sae.W_dec)
        del model
        beside = None
        if rival is not None:
            beside = rival, nearest(sae.W_dec, cells.autoencoder(rival).W_dec)
        steered = [DialRun.read(file) for file in dials]
        metrics = cells.metrics[cell]
        latents = LatentsShown(metrics, sae, beside, profiles, promoted, contexts, steered)
        ids = [latents.token_ids(), np.unique(contexts.input_ids[latents.contexts])]
        vocabulary = Vocabulary(np.unique(np.concatenate(ids)))
        size = latents.write(folder, vocabulary)
        tokenizer = load_tokenizer(model_folder(asset))
        size += write_script(folder, "vocabulary", texts_of(tokenizer, vocabulary.ids.tolist()))
        write_json(out, latents.summary | {"spec": digest(spec), "bytes": size})
