"""Statistics of stored rows against float64, and what a commit file vouches for."""

from __future__ import annotations

import base64
import json
import math
import struct
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from sagsae.activations.commits import (
    Commit,
    Moments,
    RunningMoments,
    Statistics,
    block_fault,
    calibration_digest,
    committed_blocks,
    decode_vector,
    encode_vector,
    read_commits,
)
from sagsae.activations.errors import Fault, StoreError
from sagsae.activations.layout import StoreConfig, commit_name
from sagsae.files import digest, read_signed_json, signed_json
from sagsae.storage import Folder

ROWS = np.random.default_rng(0).normal(1000, 1, (2500, 3)).astype(np.float32)
"""More than two parts of `RunningMoments`; float32 sums of their squares keep seven digits."""


def moments_of(rows: np.ndarray) -> Moments:
    sums = RunningMoments(rows.shape[1])
    sums.add(rows)
    return sums.total()


def exact_squares(rows: np.ndarray) -> list[float]:
    return (rows.astype(np.float64) ** 2).sum(1).tolist()


class TestRunning:
    @pytest.mark.parametrize("width", [3, 40, 20_000, 40_000])
    def test_whatever_the_width_every_row_counts_once(self, width):
        """A wide row is alone among the values at once."""
        rows = (np.arange(7 * width).reshape(7, width) % 11 - 5).astype(np.float32)
        sums = RunningMoments(width)
        assert sums.add(rows).tolist() == exact_squares(rows)
        assert sums.total().sum.tolist() == rows.astype(np.float64).sum(0).tolist()

    def test_parts_that_come_one_after_the_other_are_one_whole(self):
        sums = RunningMoments(3)
        squares = [sums.add(part) for part in (ROWS[:1024], ROWS[1024:2048], ROWS[2048:])]
        assert [len(part) for part in squares] == [1024, 1024, 452]
        found, whole = sums.total(), moments_of(ROWS)
        assert found.to_json() == whole.to_json()
        assert np.concatenate(squares) == pytest.approx(exact_squares(ROWS), rel=1e-13)

    def test_a_row_that_is_not_finite_has_a_square_that_is_not(self):
        rows = np.ones((4, 2), np.float32)
        rows[1, 0], rows[2, 1] = math.nan, -math.inf
        assert np.isfinite(RunningMoments(2).add(rows)).tolist() == [True, False, False, True]

    def test_a_sum_is_of_parts_of_1024_rows_each_added_row_by_row(self):
        """The last digits, which stores record, come from this order."""
        generator = np.random.default_rng(1)
        sizes = 10 ** generator.uniform(-8, 8, (2500, 3))
        rows = (sizes * generator.choice([-1, 1], (2500, 3))).astype(np.float32)
        expected = np.zeros(3)
        for start in range(0, len(rows), 1024):
            part = np.zeros(3)
            for row in rows[start : start + 1024].astype(np.float64):
                part += row
            expected += part
        assert moments_of(rows).sum.tolist() == expected.tolist()


class TestMoments:
    def test_they_are_float64_sums_over_all_rows(self):
        found, exact = moments_of(ROWS), ROWS.astype(np.float64)
        squares = (exact**2).sum(1)
        assert (found.count, found.non_finite) == (2500, 0)
        assert found.sum.dtype == np.float64
        np.testing.assert_allclose(found.sum, exact.sum(0), rtol=1e-13)
        assert found.sum_of_squares == pytest.approx(squares.sum(), rel=1e-13)
        assert found.norm_sum == pytest.approx(np.sqrt(squares).sum(), rel=1e-13)
        assert found.max_norm == pytest.approx(np.sqrt(squares).max(), rel=1e-13)

    @pytest.mark.parametrize("count", [1, 1023, 1024, 1025, 2048])
    def test_no_row_is_left_out_or_counted_twice(self, count):
        assert moments_of(np.ones((count, 2), np.float32)).sum.tolist() == [count, count]

    def test_rows_that_are_not_finite_are_counted(self):
        rows = np.ones((5, 2), np.float32)
        rows[1, 0], rows[3] = math.nan, math.inf
        assert moments_of(rows).non_finite == 2

    def test_bits_of_bfloat16_are_read_as_numbers(self):
        bits = np.array([[0x3F80, 0xC000], [0x0000, 0x4040]], np.uint16)  # 1, -2; 0, 3
        found = moments_of(bits)
        assert (found.sum.tolist(), found.sum_of_squares, found.max_norm) == ([1, 1], 14, 3)

    def test_parts_merge_to_the_whole(self):
        parts = [moments_of(rows) for rows in np.split(ROWS, [700, 701])]
        parts[1] = replace(parts[1], non_finite=2)
        found, whole = Moments.merged(iter(parts)), moments_of(ROWS)
        assert (found.count, found.max_norm, found.non_finite) == (2500, whole.max_norm, 2)
        np.testing.assert_allclose(found.sum, whole.sum, rtol=1e-13)
        assert found.sum_of_squares == pytest.approx(whole.sum_of_squares, rel=1e-13)
        assert found.norm_sum == pytest.approx(whole.norm_sum, rel=1e-13)

    def test_json_keeps_every_bit(self):
        found = moments_of(ROWS)
        again = Moments.from_json(json.loads(json.dumps(found.to_json())))
        assert {**vars(again), "sum": again.sum.tolist()} == asdict(found) | {
            "sum": found.sum.tolist()
        }


def test_statistics_are_means_and_the_scale_to_unit_mean_square():
    rows = np.array([[0.3, 0.4], [0.0, 0.5]])
    found = Statistics.of(moments_of(rows.astype(np.float32)))
    assert found.count == 2
    assert found.mean == pytest.approx([0.15, 0.45])
    assert (found.mean_square, found.scale) == (pytest.approx(0.25), pytest.approx(2))
    assert (found.mean_norm, found.max_norm) == (pytest.approx(0.5), pytest.approx(0.5))
    other = Statistics.of(moments_of(np.array([[3.0, 4.0], [0.0, 1.0]], np.float32)))
    assert (other.mean_square, other.mean_norm, other.max_norm) == (13, 3, 5)
    assert other.scale == pytest.approx(1 / math.sqrt(13))


def test_rows_of_zeros_have_no_scale():
    found = Statistics.of(moments_of(np.zeros((3, 2), np.float32)))
    assert (found.mean_square, found.scale, found.to_json()["scale"]) == (0, math.inf, None)


def test_statistics_as_json():
    found = Statistics.of(moments_of(ROWS[:4]))
    said = found.to_json()
    assert decode_vector(said.pop("mean")).tolist() == found.mean.tolist()
    named = asdict(found)
    del named["mean"]
    assert json.loads(json.dumps(said)) == named


@pytest.mark.parametrize("rows", [ROWS[:4], np.zeros((3, 2), np.float32)])
def test_statistics_read_back(rows):
    found = Statistics.of(moments_of(rows))
    again = Statistics.from_json(json.loads(json.dumps(found.to_json())))
    assert {**vars(again), "mean": again.mean.tolist()} == {
        **vars(found),
        "mean": found.mean.tolist(),
    }


@pytest.mark.parametrize("name", ["mean_square", "scale", "mean_norm", "max_norm"])
def test_statistics_that_are_no_numbers_are_refused(name):
    said = Statistics.of(moments_of(ROWS[:4])).to_json()
    with pytest.raises(TypeError, match=r"^statistics are \(.*'2'.*\)$"):
        Statistics.from_json({**said, name: "2"})


def test_vectors_are_little_endian_bytes():
    text = encode_vector(np.array([1.5, -2.0, 9.0], ">f8")[::2])
    assert text == base64.b64encode(struct.pack("<2d", 1.5, 9.0)).decode()
    vector = decode_vector(text)
    vector += 1  # a copy that may be written to
    assert vector.tolist() == [2.5, 10.0]


CONFIG = StoreConfig(
    hookpoints={"attn": 2, "resid": 3}, rows_per_chunk=4, rows_per_block=8, n_blocks=3, seed=0
)


def commit(block: int = 1, **changes) -> Commit:
    """Of 8 rows a hookpoint: two chunks each, and one piece of each token array."""
    arrays = CONFIG.arrays
    values = {
        "block": block,
        "run_sha256": CONFIG.digest(),
        "calibration_sha256": "c" * 64,
        "files": {name: dict.fromkeys(CONFIG.block_files(name, block), 9) for name in arrays},
        "crc32c": {name: ["0a"] * (2 if name in CONFIG.hookpoints else 1) for name in arrays},
        "moments": {
            name: moments_of(np.ones((8, d), np.float32)) for name, d in CONFIG.hookpoints.items()
        },
        "cursor": {"first_context": 3},
        "dropped": {"norm": 2, "first": 0},
    }
    return Commit(**values | changes)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "commits").mkdir()
    return tmp_path


def write(store: Path, written: Commit) -> None:
    """The file of a commit, over another."""
    (store / commit_name(written.block)).write_bytes(written.to_bytes())


def read(store: Path, block: int) -> Commit:
    return Commit.read(Folder(store), CONFIG, block)


class TestCommit:
    def test_it_reads_back(self, store):
        commit().write(Folder(store))
        found = read(store, 1)
        assert found.moments.keys() == {"attn", "resid"}
        assert found.moments["resid"].sum.tolist() == [8, 8, 8]
        assert {**vars(found), "moments": 0} == {**vars(commit()), "moments": 0}
        path = store / "commits" / "000001.json"
        assert found.file_digest() == digest(path.read_bytes())
        assert "statistics" in read_signed_json(path)
        assert "moments" not in read_signed_json(path)

    def refused(self, store: Path, message: str, name: int = 1, **changes) -> None:
        written = commit(**changes)
        write(store, written)
        if name != written.block:
            files = [store / "commits" / f"{n:06d}.json" for n in (written.block, name)]
            files[0].rename(files[1])
        with pytest.raises(ValueError, match=message):
            read(store, name)

    def test_another_block_or_configuration(self, store):
        message = "^it belongs to another block or configuration$"
        self.refused(store, message, name=2)
        self.refused(store, message, run_sha256="0" * 64)
        files = commit().files
        self.refused(store, message, files={**files, "attn": {"c.0.0": 9}})
        self.refused(store, message, files={**files, "more": {}})
        self.refused(store, message, files={n: files[n] for n in files if n != "resid"})

    def test_checksums_that_lack_or_are_too_many(self, store):
        crc = commit().crc32c
        self.refused(store, "^1 checksums of attn, not 2$", crc32c={**crc, "attn": ["0a"]})
        self.refused(store, "^2 checksums of doc_id, not 1$", crc32c={**crc, "doc_id": ["0a"] * 2})
        lacking = {name: crc[name] for name in crc if name != "position"}
        self.refused(store, r"missing or unknown keys \('position'\)", crc32c=lacking)

    def test_statistics_that_a_reader_could_not_use(self, store):
        moments = commit().moments
        wide = {**moments, "attn": moments["resid"]}
        self.refused(store, r"^sums of attn are \(3,\), not \(2,\)$", moments=wide)
        text = {**moments, "resid": replace(moments["resid"], norm_sum="a")}
        self.refused(store, "missing or unknown keys", moments=text)
        self.refused(store, r"\('resid'\)", moments={"attn": moments["attn"]})

    def test_counts_that_are_no_numbers(self, store):
        message = r"^counts of dropped tokens are \{'first': 0, 'norm': 'a'\}$"
        self.refused(store, message, dropped={"first": 0, "norm": "a"})

    @pytest.mark.parametrize("lacking", ["statistics", "block", "dropped"])
    def test_keys_that_lack(self, store, lacking):
        write(store, commit())
        path = store / "commits" / "000001.json"
        content = read_signed_json(path)
        path.write_bytes(signed_json({name: content[name] for name in content if name != lacking}))
        with pytest.raises(ValueError, match=f"missing or unknown keys .*'{lacking}'") as refused:
            read(store, 1)
        assert refused.value.__cause__ is not None

    def test_an_edited_file(self, store):
        write(store, commit())
        path = store / "commits" / "000001.json"
        path.write_text(path.read_text().replace('"first": 0', '"first": 1'))
        with pytest.raises(ValueError, match="edited or damaged"):
            read(store, 1)


def test_the_first_commit_of_a_block_stays(store):
    place = Folder(store)
    commit().write(place)
    commit().write(place)
    with pytest.raises(StoreError, match="another process has committed block 1"):
        commit(dropped={"norm": 3, "first": 0}).write(place)
    assert read(store, 1).dropped == {"norm": 2, "first": 0}


def test_values_in_another_spelling(store):
    """Digests are taken of the values, so they may be spelled in one way only."""
    write(store, commit())
    path = store / commit_name(1)
    content = read_signed_json(path)
    sums = content["statistics"]["attn"]["sum"]
    content["statistics"]["attn"]["sum"] = sums[:4] + "\n" + sums[4:]
    path.write_bytes(signed_json(content))
    with pytest.raises(ValueError, match="not spelled as a dump does"):
        read(store, 1)


def test_blocks_are_those_with_a_commit_file_in_order(store):
    for name in ("000010.json", "000002.json", "3.json", "000004.json.5.tmp", "x.json"):
        (store / "commits" / name).touch()
    assert committed_blocks(Folder(store)) == [2, 10]


def test_commits_that_cannot_be_used_are_faults_and_the_others_are_read(store):
    for block in (0, 2):
        write(store, commit(block))
    write(store, commit(1, run_sha256="0" * 64))
    for beyond in (3, 7):
        (store / "commits" / f"{beyond:06d}.json").touch()
    found, faults = read_commits(Folder(store), CONFIG)
    assert list(found) == [0, 2]
    assert [found[block].block for block in found] == [0, 2]
    name = "commits/{:06d}.json"
    assert faults == [
        Fault(
            name.format(1),
            "it belongs to another block or configuration",
            "it rewrites block 1 only",
            (name.format(1), "SEALED.json"),
        ),
        *(
            Fault(
                name.format(n),
                "the store has 3 blocks",
                "it needs no such block",
                (name.format(n),),
            )
            for n in (3, 7)
        ),
    ]


def test_a_fault_that_one_block_cures():
    found = block_fault("data.zarr/attn/c.0.0", ValueError("torn"), 4)
    assert vars(found) == {
        "file": "data.zarr/attn/c.0.0",
        "problem": "torn",
        "outcome": "it rewrites block 4 only",
        "delete": ("commits/000004.json", "SEALED.json"),
    }


def test_the_digest_of_a_calibration(tmp_path):
    assert calibration_digest(Folder(tmp_path)) is None
    (tmp_path / "calibration.json").write_bytes(b"{}")
    assert calibration_digest(Folder(tmp_path)) == digest(b"{}")
