"""The stage that collects what is shown, against the store, the weights and the tokenizer."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.__main__ import main
from pipeline.cells.browser.collect import choose
from pipeline.data.tokenise import open_tokens
from pipeline.jobs.json_files import digest, read_json, write_json
from pipeline.study.browser import BrowserSpec
from pipeline.study.cell import Cell
from pipeline.study.metrics import read_all
from pipeline.study.outputs import METRICS, WEIGHTS
from pipeline.study.study import Study
from sagsae.activations.language_models import load_language_model, load_tokenizer
from sagsae.activations.stream import iterate
from sagsae.autoencoders.weights import load
from sagsae.evaluation.metrics import accumulate
from sagsae.evaluation.steering.promoted import promoted_tokens
from tests.helpers.made_looks import made_dial
from tests.pipeline.cells.test_dial import COMPARED, with_cells
from tests.pipeline.tiny_study import ROWS, TinyStudy, make_tiny_study

pytestmark = pytest.mark.slow
KINDS = {"uint8": "<u1", "uint16": "<u2", "uint32": "<u4", "float32": "<f4"}


@dataclass
class Shown:
    """A tiny study with both sides at resid, and what the browser has of each."""

    tiny: TinyStudy
    study: Study
    root: Path
    specs: dict[str, BrowserSpec]
    arguments: list[str]

    def cell(self, variant: str) -> Cell:
        return Cell.from_path(self.summary(variant)["name"])

    def folder(self, variant: str) -> Path:
        return next(self.root.glob(f"**/{variant}/*/cell.json")).parent

    def summary(self, variant: str) -> dict[str, Any]:
        return read_json(self.folder(variant) / "cell.json")

    def latents(self, variant: str) -> list[dict[str, Any]]:
        folder = self.folder(variant)
        files = sorted(folder.glob("latents-*.js"), key=lambda f: int(f.stem.split("-")[1]))
        return [one for file in files for one in given(file)]


def given(script: Path) -> Any:
    """What a script hands over, under its own name."""
    name, _, value = script.read_text(encoding="utf-8").partition(",")
    assert name == f'latents.give("{script.stem}"'
    return json.loads(value.removesuffix(");\n"))


def decoded(value: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(value["data"]), KINDS[value["kind"]])


def run(made: Shown, spec: BrowserSpec, out: Path, *dials: Path) -> None:
    more = ["--spec", json.dumps(spec.model_dump()), "--dials", *map(str, dials)]
    main(["browser", *made.arguments, *more, "--out", str(out)])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Shown:
    tiny = make_tiny_study(tmp_path_factory.mktemp("study"), "gpt_neox")
    browser = {"hookpoints": ["resid"], "top": 3}
    dial = {"latents": 2, "pairs": 1, "contexts": 8, "hookpoints": ["resid"]}
    study, paths = with_cells(tiny, COMPARED | {"browser": browser, "dial": dial})
    manifest = paths["heldout"]
    write_json(manifest, read_json(manifest) | {"spec": digest(study.dump_spec("tiny", "heldout"))})
    paths |= {"heldout_tokens": tiny.tokens}
    named = {name.replace("_", "-"): str(path) for name, path in paths.items()}
    arguments = [part for name, path in named.items() for part in (f"--{name}", path)]
    specs = study.looks["browser"]
    found = Shown(tiny, study, tiny.root / "shown", specs, [*arguments, "--device", "cpu"])
    for look, spec in found.specs.items():
        file = Path(study.look_file("browser", look))
        run(found, spec, found.root / file.relative_to(study.root))
    return found


@pytest.fixture(scope="module")
def tied(made) -> Any:
    return load(made.tiny.root / "cells" / made.cell("sagsae_tied").path / WEIGHTS)


@pytest.fixture(scope="module")
def code(made, tied) -> dict[tuple[int, int], np.ndarray]:
    """(context, position) -> code [H]; a document of this study is a context."""
    held = made.tiny.store()
    labels = [held.read_tokens(block) for block in held.blocks]
    places = (np.concatenate([p[n] for p in labels]).tolist() for n in ("doc_id", "position"))
    rows = torch.cat(list(iterate(held, "resid", 64))).float()
    z = tied.code(rows * tied.scale).detach().numpy()
    return dict(zip(zip(*places, strict=True), z, strict=True))


def test_both_sides_are_shown_at_the_level_each_beside_the_other(made):
    ours, theirs = made.summary("sagsae_tied"), made.summary("gated")
    assert (ours["rival"], theirs["rival"]) == (theirs["name"], ours["name"])
    for side, summary in (("sagsae_tied", ours), ("gated", theirs)):
        cells = [c for c in made.study.cells if (c.variant, c.hookpoint) == (side, "resid")]
        l0 = {c.path: read_json(made.tiny.root / "cells" / c.path / METRICS)["l0"] for c in cells}
        assert summary["name"] == min(l0, key=lambda name: abs(np.log(l0[name] / 8)))
        assert summary["l0"] == l0[summary["name"]]
        written = sum(file.stat().st_size for file in made.folder(side).glob("*.js"))
        assert summary["bytes"] == written
        assert summary["tokens"] == 2 * ROWS
    assert ours["rival_label"] == "Gated, H = 96"


def test_the_index_has_the_numbers_of_the_evaluation(made, tied):
    index = given(made.folder("sagsae_tied") / "index.js")
    found = {name: decoded(value) for name, value in index["columns"].items()}
    expected = accumulate(tied, iterate(made.tiny.store(), "resid", 64)).firings
    assert found["positive"].tolist() == expected.count[0].tolist()
    assert found["negative"].tolist() == expected.count[1].tolist()
    energy = expected.energy.sum(0)
    assert found["contribution"] == pytest.approx((energy / energy.sum()).numpy(), rel=1e-5)
    for name, slopes in zip(("positive", "negative"), expected.slopes, strict=True):
        assert found[f"slope_{name}"] == pytest.approx(slopes.numpy(), rel=1e-4, nan_ok=True)
    assert index["two_sided"] is True
    assert given(made.folder("gated") / "index.js")["two_sided"] is False


def test_examples_are_firings_with_the_code_around_them(made, code):
    index = given(made.folder("sagsae_tied") / "index.js")
    largest = [
        decoded(index["columns"][f"largest_{side}"]).tolist() for side in ("positive", "negative")
    ]
    seen = 0
    for i, latent in enumerate(made.latents("sagsae_tied")):
        for side in range(2):
            strongest = latent["strongest"][side]
            drawn = [one for part in latent["drawn"][side] for one in part[3]]
            assert not {tuple(x[:2]) for x in strongest} & {tuple(x[:2]) for x in drawn}
            for context, position, z, around in strongest + drawn:
                seen += 1
                assert z == pytest.approx(float(code[context, position][i]), rel=1e-3)
                assert (z < 0) == bool(side)
                pairs = dict(zip(around[::2], around[1::2], strict=True))
                assert pairs[0] != 0
                for offset in range(-5, 6):
                    there = code.get((context, position + offset))
                    value = 0.0 if there is None else float(there[i])
                    step = pairs.get(offset, 0)
                    assert np.sign(step) == np.sign(value)
                    assert abs(step) / 255 == pytest.approx(
                        abs(value) / (largest[int(value < 0)][i] or 1), abs=1.5 / 255
                    )
            sizes = [abs(one[2]) for one in strongest]
            assert sizes == sorted(sizes, reverse=True)
            if sizes:
                assert largest[side][i] == pytest.approx(sizes[0], rel=1e-3)
    assert seen > 100


def test_intervals_and_histogram_count_every_firing(made, code):
    z = np.stack(list(code.values()))
    for i, latent in enumerate(made.latents("sagsae_tied")):
        histogram = latent["histogram"]
        for sign, name in ((1, "positive"), (-1, "negative")):
            values = sign * z[:, i]
            values = values[values > 0]
            counts = histogram[name]
            edges = np.arange(len(counts) + 1) * histogram["bin"]
            assert counts == np.histogram(values, edges)[0].tolist() if len(values) else not counts
            assert sum(counts) == len(values)
            parts = latent["drawn"][int(sign < 0)]
            assert [n for _, _, n, _ in parts] == [
                int(((values >= low) & (values < high)).sum()) for low, high, _, _ in parts
            ]
            assert sum(n for _, _, n, _ in parts) == len(values)


def test_contexts_are_the_texts_of_the_tokens(made):
    folder = made.folder("sagsae_tied")
    words, contexts = given(folder / "vocabulary.js"), given(folder / "contexts-0.js")
    tokens = open_tokens(made.tiny.tokens)
    tokenizer = load_tokenizer(made.tiny.root / "model")
    numbers = decoded(contexts["tokens"]).reshape(-1, contexts["length"])
    used = {
        one[0]
        for latent in made.latents("sagsae_tied")
        for side in range(2)
        for one in latent["strongest"][side] + [x for p in latent["drawn"][side] for x in p[3]]
    }
    assert len(used) > 20
    for context in used:
        expected = [tokenizer.decode([i]) for i in tokens.input_ids[context].tolist()]
        assert [words[n] for n in numbers[context - contexts["first"]]] == expected


def test_promoted_tokens_gates_and_neighbours_follow_from_the_weights(made, tied):
    folder = made.folder("sagsae_tied")
    words, latents = given(folder / "vocabulary.js"), made.latents("sagsae_tied")
    index = given(folder / "index.js")
    model = load_language_model(made.tiny.root / "model", torch.bfloat16)
    tokenizer = load_tokenizer(made.tiny.root / "model")
    expected = promoted_tokens(model, tied.W_dec, 10)
    rows, norm = tied.W_dec.detach(), model.get_decoder().final_layer_norm
    seen = (rows - rows.mean(1, keepdim=True)) * norm.weight.detach().float()
    raw = seen @ model.get_output_embeddings().weight.detach().float().T
    other = load(made.tiny.root / "cells" / made.cell("gated").path / WEIGHTS)
    cosines = (tied.W_dec @ other.W_dec.T).detach().numpy()
    listed = decoded(index["columns"]["up"]).reshape(-1, index["listed"])
    for i, latent in enumerate(latents):
        up, down = latent["promoted"]
        assert [words[n] for n in up[0]] == tokenizer.batch_decode(expected.up[i][:, None])
        assert [words[n] for n in down[0]] == tokenizer.batch_decode(expected.down[i][:, None])
        for ids, (_, logits) in ((expected.up[i], up), (expected.down[i], down)):
            assert logits == pytest.approx(raw[i, ids].tolist(), rel=2e-2, abs=1e-4)
        assert listed[i].tolist() == up[0][: index["listed"]]
        (along, most), (against, least) = latent["near"]
        assert along == cosines[i].argmax()
        assert against == cosines[i].argmin()
        assert [most, least] == pytest.approx([cosines[i].max(), cosines[i].min()], abs=2e-3)
        theta = float(tied.params["theta"][i])
        opens = theta * float(tied.params["r"][i].exp()) + float(tied.params["c"][i])
        wanted = [theta, theta, opens, opens]
        assert latent["gate"] == pytest.approx(wanted, rel=1e-3)
    assert all(one["gate"][1] is None and one["gate"][3] is None for one in made.latents("gated"))


def test_a_dial_is_shown_if_its_weights_are_those(made, tmp_path):
    spec = next(iter(made.specs.values()))
    ((_, steered),) = made.study.looks["dial"].items()
    found = made_dial(steered).model_dump()
    cell = made.cell("sagsae_tied")
    weights = read_json(made.tiny.root / "cells" / cell.path / METRICS)["made_from"]
    side = {"cell": vars(cell), "l0": 8.0, "weights_sha256": weights["weights_sha256"]}
    del side["cell"]["recipe"]
    found["candidate"] = side
    for name, right in (("same", True), ("other", False)):
        if not right:
            found["candidate"]["weights_sha256"] = "0" * 64
        path, out = tmp_path / f"{name}.json", tmp_path / name / "cell.json"
        write_json(path, found)
        run(made, spec, out, path)
        index = given(out.parent / "index.js")
        assert index["dials"] == ([11, 12] if right else [])
        (dial,) = given(out.parent / "latents-0.js")[11].get("dial", [None])
        if right:
            assert (dial["dial"], dial["symmetry"], dial["times_random"]) == (True, 0.75, 3.5)
            assert dial["promoted"] == [[" good", "|", "好"], [" bad", "\n"]]
        else:
            assert dial is None


def test_a_named_cell_is_shown_beside_the_rival_nearest_its_own_l0(made):
    cells = [c for c in made.study.cells if (c.variant, c.hookpoint) == ("gated", "resid")]
    all_cells = [cell for spec in made.specs.values() for cell in spec.shown]
    metrics = read_all(made.tiny.root / "cells", all_cells)
    for cell in cells:
        raw = made.study.config.model_dump() | {"browser": {"cells": [cell.path]}}
        (spec,) = Study.from_dict(raw).looks["browser"].values()
        shown, rival = choose(spec, metrics)
        assert shown == cell
        assert rival is not None
        others = {c: abs(np.log(metrics[c].l0 / metrics[cell].l0)) for c in spec.rival}
        assert rival == min(others, key=lambda c: others[c])
