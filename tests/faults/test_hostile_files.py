"""Files that are not what they should be: each is refused by name, or read as it was written."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pipeline.assets.wheels import AssetError
from pipeline.jobs.json_files import write_json
from pipeline.study.metrics import MetricsError, read_all
from sagsae.autoencoders import storage
from sagsae.files import DIGEST_KEY, signed_json
from tests.faults import hostile
from tests.faults.campaign import Campaign
from tests.faults.file_kinds import CELL, KINDS, Kind, make_lines, outcome, read_lines
from tests.pipeline.conftest import metrics_of


def attack(
    what: str, kind: Kind, folder: Path, times: int, harm: hostile.Harm, campaign: Campaign
) -> list[str]:
    """Put ``times`` harmful contents in the place of a file.

    Returns:
        Those that were not met as documented.
    """
    path = kind.make(folder)
    real, sound = path.read_bytes(), kind.read(path)
    missed, unmended = [], 0
    with hostile.little_memory():
        for number in range(times):
            content = harm(real, campaign.chance(what, number))
            path.write_bytes(content)
            if problem := outcome(kind, path, sound):
                missed.append(f"{number}: {content[:500]!r}: {problem[:1000]}")
            path.write_bytes(real)
            unmended += kind.read(path) != sound
    met, mended = times - len(missed), times - unmended
    campaign.record(what, injected=times, detected=met, recovered=mended)
    return missed + [f"{unmended} not mended"] * bool(unmended)


def any_bytes(real: bytes, chance: random.Random) -> bytes:
    return chance.choice(hostile.BYTES)(real, chance)


@pytest.mark.parametrize("name", KINDS)
def test_hostile_bytes(name: str, campaign: Campaign, tmp_path: Path) -> None:
    times = campaign.times(full=250, short=12)
    missed = attack(f"hostile bytes: {name}", KINDS[name], tmp_path, times, any_bytes, campaign)
    assert missed == [], missed[0]


@pytest.mark.parametrize("instead", hostile.INSTEAD)
@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_file(name: str, instead: Callable[[Path], None], tmp_path: Path) -> None:
    kind = KINDS[name]
    path = kind.make(tmp_path)
    instead(path)
    with pytest.raises((*kind.errors, OSError)) as caught:
        kind.read(path)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("name", ["autoencoder", "checkpoint", "tokens"])
def test_headers_that_say_something_else(name: str, campaign: Campaign, tmp_path: Path) -> None:
    times, what = campaign.times(full=250, short=25), f"another header: {name}"
    missed = attack(what, KINDS[name], tmp_path, times, hostile.odd_header, campaign)
    assert missed == [], missed[0]


def signed_again(real: bytes, chance: random.Random) -> bytes:
    """JSON of another shape with a digest that fits, as a program with a mistake writes it."""
    value = json.loads(real)
    del value[DIGEST_KEY]
    return signed_json(hostile.odd_json(value, chance))


SIGNED = ("metrics", "manifest", "baselines", "asset", "run.json", "commit", "seal", "calibration")


@pytest.mark.parametrize("name", SIGNED)
def test_json_of_another_shape(name: str, campaign: Campaign, tmp_path: Path) -> None:
    loose = replace(KINDS[name], exact=False)
    times, what = campaign.times(full=250, short=12), f"another shape: {name}"
    missed = attack(what, loose, tmp_path, times, signed_again, campaign)
    assert missed == [], missed[0]


def test_all_damaged_metrics_are_named_at_once(campaign: Campaign, tmp_path: Path) -> None:
    cells = [replace(CELL, seed=seed) for seed in range(campaign.times(full=400, short=20))]
    sound = {cell: metrics_of(cell, 16, l0=3.0, r2=0.5, dead=1) for cell in cells}
    files = {cell: tmp_path / cell.path / "metrics.json" for cell in cells}
    for cell in cells:
        write_json(files[cell], sound[cell])
    hit = cells[1::2]
    for cell in hit:
        content = any_bytes(files[cell].read_bytes(), campaign.chance("many", cell.seed))
        files[cell].write_bytes(content)
    with pytest.raises(MetricsError, match=f"^{len(hit)} unusable metrics") as caught:
        read_all(tmp_path, cells)
    named = [cell for cell in cells if str(files[cell]) in str(caught.value)]
    for cell in hit:
        write_json(files[cell], sound[cell])
    mended = [cell for cell in read_all(tmp_path, cells) if cell in hit]
    counts = {"injected": len(hit), "detected": len(named), "recovered": len(mended)}
    campaign.record("hostile bytes: metrics of many cells", **counts)
    assert named == mended == hit


def header_of(d: Any, width: Any, scale: Any = 1.0, variant: Any = "gated") -> dict[str, str]:
    header = {"variant": variant, "d": d, "width": width, "scale": scale}
    return {"autoencoder": json.dumps(header)}


@pytest.mark.parametrize(
    "metadata",
    [
        header_of(10**6, 10**6),
        header_of(2**31, 2**31),
        header_of(10**400, 1),
        header_of(0, 3),
        header_of(-4, 3),
        header_of(4.0, 3),
        header_of(True, 3),
        header_of("4", "3"),
        header_of(4, 3, scale=float("nan")),
        header_of(4, 3, scale=float("inf")),
        header_of(4, 3, scale=0.0),
        header_of(4, 3, scale="1"),
        header_of(4, 3, scale=10**400),
        header_of(4, 3, variant="../gated"),
        header_of(4, 3, variant=["gated"]),
        {"autoencoder": "[" * hostile.DEEP},
        {"autoencoder": "null"},
        {"autoencoder": "4"},
        {},
    ],
    ids=lambda metadata: str(metadata)[:60],
)
def test_hostile_headers_of_autoencoders_allocate_nothing(metadata, tmp_path, monkeypatch):
    path = tmp_path / "sae.safetensors"
    params = storage.build("gated", 4, 3).params
    tensors = {name: value.contiguous() for name, value in params.items()}
    save_file(tensors, path, metadata=metadata)
    empty = torch.zeros

    def on_meta_alone(*size, **options):
        made = empty(*size, **options)
        return made if made.is_meta else pytest.fail("allocated")

    monkeypatch.setattr(torch, "zeros", on_meta_alone)
    with pytest.raises(ValueError, match=r"sae\.safetensors: not an autoencoder file"):
        storage.load(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("W_enc", torch.zeros(4, 3, dtype=torch.int64), "holds F32, I64"),
        ("W_enc", torch.zeros(4, 3, dtype=torch.float64), "holds F32, F64"),
        ("W_enc", torch.zeros(3, 4), "holds"),
        ("b_dec", torch.full((4,), torch.nan), "b_dec holds values that are not finite"),
        ("W_dec", torch.full((3, 4), torch.inf), "W_dec holds values that are not finite"),
        ("zzz", torch.zeros(1), "zzz"),
    ],
)
def test_hostile_tensors_of_autoencoders(name, value, message, tmp_path):
    path = tmp_path / "sae.safetensors"
    params = storage.build("gated", 4, 3).params | {name: value}
    tensors = {key: tensor.contiguous() for key, tensor in params.items()}
    save_file(tensors, path, metadata=header_of(4, 3))
    with pytest.raises(ValueError, match=message) as caught:
        storage.load(path)
    assert str(path) in str(caught.value)


BAD_LINES = ["{", "[" * hostile.DEEP, "9" * 5000, "null", "[]", '{"a": "b"}', '{"text": 3}']
BAD_LINES += [r'{"text": "\ud800"}', '{"text": null}', "NaN", "\x00", "{'text': 'a'}"]


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: line[:20])
def test_bad_lines_of_text_are_named(line: str, tmp_path: Path) -> None:
    path = make_lines(tmp_path)
    path.write_text(path.read_text() + "\n" + line)
    with pytest.raises(AssetError, match=r"text\.jsonl, line 10: "):
        read_lines(path)


def test_metrics_of_a_lambda_that_no_name_holds(tmp_path: Path) -> None:
    path = tmp_path / CELL.path / "metrics.json"
    metrics = metrics_of(CELL, 16, l0=3.0, r2=0.5, dead=1)
    write_json(path, metrics | {"cell": metrics["cell"] | {"lam": 0.1234567}})
    with pytest.raises(MetricsError, match=r"  cell\.lam: .* round it to 0\.123457") as caught:
        read_all(tmp_path, [CELL])
    assert str(path) in str(caught.value)
