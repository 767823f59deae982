"""A benchmark's check against the promises of docs/performance.md."""

from __future__ import annotations

import pytest

from benchmarks import families, paths, promises, step
from benchmarks.interleaved import Timing
from sagsae.activations.cpu_products import KIND_VARIABLE, CpuKind

PAGE = """
| at least, times as fast | AMX | no bfloat16 |
|---|---|---|
| gated, start | 2.0 | 1.3 |
| relu, start | - | 1.2 |

| another | table |
|---|---|
| gated, start | 9 |
"""


def timing(seconds: float) -> Timing:
    return Timing([seconds] * 2, [seconds] * 2)


def measured(own: float) -> dict[str, Timing]:
    """Gated at its start, and two peers, of which the better takes a second."""
    peers = {"SAELens, as shipped": 3.0, "dictionary_learning, as shipped": 1.0}
    return {name: timing(s) for name, s in {"sagsae, gated, start": own, **peers}.items()}


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The page of this test, read on a CPU with AMX."""
    path = tmp_path / "performance.md"
    path.write_text(PAGE)
    monkeypatch.setattr(promises, "PAGE", path)
    monkeypatch.setenv(KIND_VARIABLE, CpuKind.AMX)


def test_promises_are_those_of_the_kind_of_cpu():
    assert promises.promised(PAGE, "AMX") == {"gated, start": 2.0}
    assert promises.promised(PAGE, "no bfloat16") == {"gated, start": 1.3, "relu, start": 1.2}
    with pytest.raises(ValueError, match="'AVX512-BF16'"):
        promises.promised(PAGE, "AVX512-BF16")


def test_a_low_ratio_fails_and_is_named(page, monkeypatch, capsys):
    promises.check(step.ratios(measured(own=0.49)))
    with pytest.raises(SystemExit, match=r"gated, start: 1\.96 .* promises 2") as stopped:
        promises.check(step.ratios(measured(own=0.51)))
    assert isinstance(stopped.value.code, str)  # Python prints it, and its exit status is 1
    with pytest.raises(SystemExit, match="promises nothing of relu, start"):
        promises.check({"relu, start": 9.0})


@pytest.mark.parametrize("found", [step, families])
def test_the_command_ends_with_that(found, page, monkeypatch, tmp_path, capsys):
    """Measurements are made up; all else is what runs."""
    slow = measured(own=0.51)
    if found is families:
        slow = {"relu: sagsae, start": timing(1.0), "relu: SAELens, as shipped": timing(1.0)}
        monkeypatch.setenv(KIND_VARIABLE, CpuKind.NO_BFLOAT16)
    else:
        monkeypatch.setattr(step, "start_up", lambda: "")
    monkeypatch.setattr(found, "compete", lambda *_: slow)
    monkeypatch.setattr(found, "profile", lambda *_: "")
    (tmp_path / "python").touch()
    sizes = ["--d", "8", "--width", "16", "--batch", "8", "--threads", "1"]
    more = ["--names", "relu"] if found is families else []
    peers = ["--peers", str(tmp_path / "python")]
    monkeypatch.setattr("sys.argv", [found.__name__, "--check", *peers, *sizes, *more])
    with pytest.raises(SystemExit, match="promises"):
        found.main()


def test_the_page_promises_what_is_measured():
    """For every kind of CPU, under the names that benchmarks give."""
    page = promises.PAGE.read_text()
    named = {"gated, start", "sagsae_tied, L0 = 64", "absjumprelu, start", promises.BETTER_PATH}
    for column in CpuKind:
        assert named <= promises.promised(page, column).keys() | {"absjumprelu, start"}
    assert named <= promises.promised(page, "no bfloat16").keys()


def test_both_paths_are_forced(each_cpu_kind, monkeypatch, capsys):
    """Which one a step chooses by itself follows from the kind of CPU."""
    sizes = ["--d", "16", "--width", "64", "--batch", "32", "--l0s", "4", "--rounds", "1"]
    monkeypatch.setattr("sys.argv", ["paths", *sizes, "--names", "gated", "relu"])
    paths.main()
    printed = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed]
    shares = {row[0]: float(row[1]) for row in rows if row and row[0].startswith(("gated", "relu"))}
    assert shares["gated, L0 = 4"] == pytest.approx(4 / 64, abs=0.01)
    assert shares["relu, start"] == pytest.approx(0.5, abs=0.1)
    bounds = {CpuKind.AMX: 0.043, CpuKind.AVX512_BF16: 0.22, CpuKind.NO_BFLOAT16: 0.28}
    for row in rows:
        if row and row[0] in shares:
            dense = shares[row[0]] >= bounds[each_cpu_kind]
            assert row[4] == ("dense" if dense else "entries"), row
