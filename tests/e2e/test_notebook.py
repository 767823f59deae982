"""The notebook of the documentation, run on a small study by a real kernel."""

from __future__ import annotations

import base64
import re
from io import BytesIO

import matplotlib.image
import pytest

from tests.helpers import notebook

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def executed(smoke):
    return notebook.executed(smoke.folder / "results" / "smoke")


def outputs(cells) -> list[list[tuple[str, ...]]]:
    """Kinds of what each cell of code shows."""
    return [
        [(out.output_type, *sorted(out.get("data", {}))) for out in cell.outputs]
        for cell in cells
        if cell.cell_type == "code"
    ]


def text_of(cells) -> str:
    shown = [out for cell in cells for out in cell.get("outputs", [])]
    return "\n".join(out.get("text") or out.data.get("text/plain", "") for out in shown)


def test_every_cell_runs_and_says_what_the_text_beside_it_promises(executed):
    text = text_of(executed.cells)
    assert re.search(r"tiny-smollm3/mlp_out/sagsae_tied/w128_lam\S+: 128 latents", text)
    assert "the held-out store has 8,192 rows of 64" in text
    assert re.search(r"loss \d\.\d+ with the activations, \d\.\d+ with their", text)
    first, last = text.split("squared error ")[1].split(" at the first step, ")
    assert float(last.split(" at the last")[0]) < 0.9 * float(first)
    pictures = [
        matplotlib.image.imread(BytesIO(base64.b64decode(out.data["image/png"])))
        for cell in executed.cells
        for out in cell.get("outputs", [])
        if "image/png" in out.get("data", {})
    ]
    assert len(pictures) == 2
    assert all(picture.std() > 0.05 for picture in pictures)


def test_the_outputs_that_are_kept_are_those_of_this_code_on_the_local_study(executed):
    kept = notebook.read()
    counts = [cell.execution_count for cell in kept.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert outputs(kept.cells) == outputs(executed.cells)
    text = text_of(kept.cells)
    assert "smollm2-135m" in text
    assert "gemma3-270m" in text
    assert "tiny-" not in text
