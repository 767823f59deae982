"""The tool: tables of the paper study, and a run that is over against its simulation."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.schedule.records import as_jobs, makespan, of_one_run, read_records
from pipeline.schedule.simulation import Head, Simulation

CONFIGS = Path(__file__).resolve().parents[3] / "workflow" / "configs"


def note(
    folder: Path, rule: str, times: tuple[float, float], outputs: str, inputs: str = ""
) -> None:
    """What Snakemake keeps of a job: a file for each output, long names in folders."""
    for output in outputs.split():
        name = urlsafe_b64encode(output.encode()).decode()
        parts = [name[i : i + 254] for i in range(0, len(name), 254)]
        path = folder / ".snakemake/metadata" / Path(*[f"@{p}" for p in parts[:-1]], parts[-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {"rule": rule, "input": inputs.split(), "log": [f"logs/{outputs.split()[0]}"]}
        path.write_text(json.dumps(record | {"starttime": times[0], "endtime": times[1]}))


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A dump on both cores, two cells at once, a table; a figure was drawn again much later."""
    note(tmp_path, "dump", (100, 140), "results/local/m.json", "somewhere/else.json")
    long = f"results/local/cells/{'x' * 300}/metrics.json"
    note(tmp_path, "cell", (141, 201), f"{long} results/local/sae.1", "results/local/m.json")
    note(tmp_path, "cell", (141, 191), "results/local/2.json", "results/local/m.json")
    note(tmp_path, "make_tables", (202, 204), "results/local/t.csv", f"{long} results/local/2.json")
    note(tmp_path, "draw_figure", (5000, 5003), "results/local/f.png", "results/local/t.csv")
    note(tmp_path, "cell", (100, 9000), "results/other/2.json")
    return tmp_path


def test_a_run_is_read_and_simulated(ran):
    records = of_one_run(read_records(ran, "results/local"))
    assert [one.rule for one in records] == ["dump", "cell", "cell", "make_tables"]
    assert makespan(records) == 104
    jobs = as_jobs(records, 2)
    assert [one.devices for one in jobs] == [2, 1, 1, 1]
    assert [len(one.needs) for one in jobs] == [0, 1, 1, 2]
    assert Simulation(jobs, 2, 1e18, Head()).run().makespan == pytest.approx(40 + 60 + 2)
    one_core = as_jobs(records, 1)
    assert Simulation(one_core, 1, 1e18, Head()).run().makespan == pytest.approx(40 + 110 + 2)


def test_both_ends_stand_side_by_side(ran, capsys):
    main(["schedule", "--configfile", str(CONFIGS / "local.yaml"), "--replay", str(ran)])
    rows = [
        [cell.strip() for cell in line.split("|")[1:3]]
        for line in capsys.readouterr().out.splitlines()[2:]
    ]
    assert rows == [
        ["jobs", "4"],
        ["measured", "104 s"],
        ["simulated", "102 s (-1.9%)"],
        ["utilisation, simulated", "94%"],
        ["all cores busy to the end", "96 s"],
        ["longest chain", "102 s"],
    ]


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Snakemake noted nothing of results/local here"):
        main(["schedule", "--configfile", str(CONFIGS / "local.yaml"), "--replay", str(tmp_path)])


def table(text: str, head: str) -> dict[str, list[str]]:
    """First column -> the others, of the table whose first column has this head."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {head} "))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        first, *others = (cell.strip() for cell in line.split("|")[1:-1])
        rows[first] = others
    return rows


def test_the_paper_on_more_and_more_gpus(capsys):
    main(["schedule", "--devices", "1", "8", "64"])
    shown = capsys.readouterr().out
    sizes = table(shown, "GPUs")
    hours = [float(row[0].split()[0]) for row in sizes.values()]
    assert list(sizes) == ["1", "8", "64"]
    assert hours[0] > 7 * hours[1] > 7 * hours[2]
    assert [row[3] for row in sizes.values()] == ["GPUs", "GPUs", "disk"]
    submitted = table(shown, "submitted together")
    assert submitted["all"][0] == "332"
    assert sum(int(row[0]) for row in table(shown, "minutes, estimated").values()) == 332


def test_a_faster_disk_moves_the_bound(capsys):
    main(["schedule", "--devices", "64", "--disk-gb-per-second", "1000"])
    (row,) = table(capsys.readouterr().out, "GPUs").values()
    assert (row[2], row[3]) == ("0%", "GPUs")
    main(["schedule", "--devices", "8", "--disk-gb-per-second", "1"])
    (row,) = table(capsys.readouterr().out, "GPUs").values()
    assert row[3] == "disk"


def test_no_devices_are_refused():
    with pytest.raises(ValueError, match="give at least 1"):
        main(["schedule", "--devices", "0"])
