"""The pages in a real browser, opened from the disk: what they show, ask for, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from pipeline.cells.browser.page import LABELS, write_page
from pipeline.study.dial import LATENT, RANDOM, DialRun
from tests.helpers import chromium
from tests.helpers.chromium import Page
from tests.helpers.made_browser import (
    HOSTILE,
    ROWS,
    Made,
    cell_of,
    make,
    texts,
    write_browser,
)
from tests.helpers.made_looks import CHANCE, DIAL, SIZES, direction

WIDTH = 96
OURS = cell_of("sagsae_tied", WIDTH)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not chromium.find(),
        reason=f"no Chromium here: install one, or give its path in {chromium.VARIABLE}",
    ),
]


def made_dial() -> DialRun:
    side = {"cell": OURS, "l0": 40.0, "weights_sha256": "4" * 64}
    found = [direction(LATENT, 1, DIAL), *(direction(RANDOM, r, CHANCE) for r in (1, 2, 3))]
    return DialRun.model_validate(
        {"spec": "0" * 16, "recipe": "", "model": "small", "hookpoint": "resid", "seed": 0}
        | {"candidate": side, "baseline": None, "unit": 2.0, "sizes": SIZES}
        | {"contexts": 4, "positions": 64, "directions": found}
    )


@pytest.fixture(scope="module")
def made() -> Made:
    return make("sagsae_tied", WIDTH)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Path:
    return write_browser(tmp_path_factory.mktemp("browser"), WIDTH, [made_dial()])


@pytest.fixture(scope="module")
def tab(tmp_path_factory) -> Iterator[Page]:
    with chromium.page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(tab: Page, browser: Path) -> Iterator[Page]:
    """The page at the width of a desk; in the end nothing may have gone wrong."""
    tab.requests.clear()
    tab.errors.clear()
    tab.size(1400, 900)
    tab.open(browser.as_uri())
    yield tab
    assert tab.errors == []
    asked = {unquote(urlsplit(one).path) for one in tab.requests if not one.startswith("data:")}
    assert {urlsplit(one).scheme for one in tab.requests} <= {"file", "about", "data"}
    assert all(Path(path).is_relative_to(browser.parent) for path in asked - {"blank"})


def show(page: Page, browser: Path, latent: int) -> None:
    page.open(f"{browser.as_uri()}#cell={OURS.path.replace('/', '%2F')}&latent={latent}")
    page.wait(f"document.getElementById('latent').dataset.latent === '{latent}'")


def listed(page: Page) -> list[int]:
    """Latents in the order of the list, whether in sight or not."""
    return page.run("Array.from(list.order())")


def current(page: Page) -> int:
    return page.run("main.latent()")


def counts(made: Made) -> np.ndarray:
    return made.profiles.firings.count.numpy()


def density(made: Made) -> np.ndarray:
    return counts(made).sum(0) / ROWS


def opening(made: Made) -> int:
    """By contribution, the first latent of a density of 0.1 to 2 %, else the nearest to that."""
    energy = made.profiles.firings.energy.sum(0).numpy()
    off = np.abs(np.log(np.clip(density(made), 0.001, 0.02) / np.maximum(density(made), 1e-12)))
    return min(range(WIDTH), key=lambda i: (off[i], -energy[i], i))


def test_it_lists_by_contribution_and_opens_on_a_latent_of_low_density(page, made):
    energy = made.profiles.firings.energy.sum(0).numpy()
    expected = sorted(range(WIDTH), key=lambda i: (-energy[i], i))
    assert listed(page) == expected
    assert page.text("#count") == f"{WIDTH} of {WIDTH}"
    first = page.text(".row").split("\n")
    n = counts(made)[:, expected[0]]
    assert first[0] == str(expected[0])
    assert float(first[1].split()[0]) == pytest.approx(100 * n[0] / ROWS, rel=0.06)
    assert float(first[3].split()[0]) == pytest.approx(100 * n.min() / n.sum(), rel=0.06)
    page.wait("document.querySelector('#latent .firings')")
    assert current(page) == opening(made)
    assert page.run("document.querySelectorAll('.row').length") < 60


def told(page: Page, selector: str) -> list[str]:
    """The text of each element."""
    return page.run(f"[...document.querySelectorAll('{selector}')].map((e) => e.textContent)")


def test_densities_of_all_latents_stand_above_the_list(page, browser, made):
    drawn = page.run(
        "[...document.querySelectorAll('#densities .density-bar title')].map((t) => t.textContent)"
    )
    shown = [int(words.split(": ")[1].split()[0]) for words in drawn]
    assert sum(shown) == WIDTH
    dead = int((density(made) == 0).sum())
    assert f"{dead} dead" in page.text("#densities")
    show(page, browser, 5)
    marked = page.run("document.querySelector('#densities .chosen title').textContent")
    assert marked.startswith("Latent 5: ")


def test_promoted_tokens_have_raw_logits_with_their_unit(page, browser, made):
    show(page, browser, 5)
    for name, logits in (
        ("positive", made.promoted.up_scores[5]),
        ("negative", -made.promoted.down_scores[5]),
    ):
        shown = told(page, f".promotes .{name} small")
        assert [float(one) for one in shown] == pytest.approx(logits.tolist(), rel=1e-2)
    assert "logits per unit of |z|" in page.text(".unit")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_list_fits_the_window(page, browser, width):
    page.size(width, 900)
    page.open(browser.as_uri())
    page.wait("document.querySelectorAll('.row').length > 5")
    for part in ("document.documentElement", "document.getElementById('grid')"):
        assert page.run(f"{part}.scrollWidth <= {part}.clientWidth")


def test_search_marks_its_matches_and_says_when_nothing_matched(page):
    fill(page, "search", "d17")
    marks = page.run(
        "[...document.querySelectorAll('.row mark')].map((m) => m.textContent.toLowerCase())"
    )
    assert marks
    assert set(marks) == {"d17"}
    assert page.run(
        "[...document.querySelectorAll('.row')].every((row) => row.querySelector('mark'))"
    )
    assert page.text("#nothing") == ""
    fill(page, "search", "no such token")
    assert "no such token" in page.text("#nothing")
    fill(page, "search", "")


def test_a_label_is_kept_found_and_saved(page, browser):
    show(page, browser, 7)
    fill(page, "label", "months of the year")
    page.open(browser.as_uri())
    page.wait("document.body.dataset.ready === 'yes'")
    show(page, browser, 7)
    assert page.run("document.getElementById('label').value") == "months of the year"
    fill(page, "search", "months of")
    assert listed(page) == [7]
    fill(page, "search", "")
    content = page.run("labels.file()")
    file = browser.parent / LABELS
    empty = file.read_text()
    assert empty == "globalThis.savedLabels = {};\n"
    file.write_text(content)
    page.run("localStorage.clear()")
    page.open(browser.as_uri())
    show(page, browser, 7)
    assert page.run("document.getElementById('label').value") == "months of the year"
    file.write_text(empty)


def test_a_later_run_leaves_labels_alone(tmp_path):
    for content in ("globalThis.savedLabels = {};\n", "mine"):
        write_page("study", "", [], tmp_path / "index.html")
        assert (tmp_path / LABELS).read_text() == content
        (tmp_path / LABELS).write_text("mine")


def fill(page: Page, name: str, value: str) -> None:
    page.run(
        f"(() => {{ const e = document.getElementById('{name}'); e.value = '{value}';"
        " e.dispatchEvent(new Event('input')); })()"
    )


@pytest.mark.long
def test_search_finds_numbers_and_parts_of_promoted_tokens(page, made):
    promoted = [made.promoted.up[:, :5], made.promoted.down[:, :5]]
    expected = {
        i for i in range(WIDTH) for side in promoted if any("d17" in texts()[t] for t in side[i])
    }
    page.press("/")
    for key in "D17":
        page.press(key)
    assert set(listed(page)) == expected
    assert 0 < len(expected) < WIDTH / 2
    fill(page, "search", "17")
    assert 17 in listed(page)
    fill(page, "search", "no such token")
    assert listed(page) == []
    assert page.text("#count") == f"0 of {WIDTH}"


MOVES = (
    *(("j", 1), ("ArrowDown", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("k", 1)),
    *(("End", WIDTH - 1), ("ArrowUp", WIDTH - 2), ("Home", 0)),
)


@pytest.mark.long
def test_keys_move_search_and_turn_signs(page):
    order = listed(page)
    page.run("document.getElementById('grid').focus()")
    for key, at in (("Home", 0), *MOVES):
        page.press(key)
        page.wait(f"main.latent() === {order[at]}")
    assert page.run("document.querySelector('[aria-selected=true]').dataset.latent") == str(
        order[0]
    )
    for shown in ("positive", "negative", "both"):
        page.press("s")
        assert page.run("document.getElementById('latent').dataset.sign") == shown
        seen = {
            side: page.run(f"document.querySelector('.firings .{side}').offsetHeight > 0")
            for side in ("positive", "negative")
        }
        assert seen == {side: shown in ("both", side) for side in seen}
    page.press("/")
    assert page.run("document.activeElement.id") == "search"
    page.press("Escape")
    assert page.run("document.activeElement.id") == "grid"
    page.press("?")
    assert page.run("document.getElementById('words').open")
    page.press("Escape")
    page.press("Enter")
    assert page.run("document.activeElement.id") == "latent"


@pytest.mark.long
def test_both_signs_stand_side_by_side_shaded_around_zero(page, browser, made):
    show(page, browser, 2)
    boxes = [
        page.run(f"document.querySelector('.firings .{s}').getBoundingClientRect().left")
        for s in ("negative", "positive")
    ]
    assert boxes[0] + 200 < boxes[1]
    for side, (name, mark) in enumerate((("positive", "plus"), ("negative", "minus"))):
        values = page.run(
            f"Array.from(document.querySelectorAll('.firings .{name} > .contexts:first-of-type"
            " .value'), e => Number(e.textContent.replace('−', '-')))"
        )
        expected = made.profiles.strongest.value[side * WIDTH + 2]
        assert values == pytest.approx(expected.tolist(), rel=6e-3)
        marks = page.run(
            f"Array.from(document.querySelectorAll('.firings .{name} .here'), e => e.className)"
        )
        assert set(marks) == {f"{mark} here"}
    share = page.run(
        "Number(document.querySelector('.firings .positive .here')"
        ".style.getPropertyValue('--share'))"
    )
    assert share == pytest.approx(1)
    style = "getComputedStyle(document.querySelector('.firings .{} .here')).borderBottomStyle"
    assert page.run(style.format("positive")) == "solid"
    assert page.run(style.format("negative")) == "dotted"
    place = made.profiles.strongest.place[2, 0]
    token = texts()[made.tokens.input_ids.ravel()[place]].strip()
    assert page.text(".firings .positive .here").strip() in (token, "↵", "→", "∅")


@pytest.mark.long
def test_text_of_models_inputs_stays_text(page, browser):
    show(page, browser, 1)
    seen = page.run("document.querySelector('.firings .positive .context').textContent")
    assert all(token in seen for token in HOSTILE)
    promoted = page.run("document.querySelector('.promotes .positive').textContent")
    assert HOSTILE[0].replace(" ", "␣") in promoted
    fill(page, "search", "<script>")
    page.wait("document.querySelector('.row')")
    assert 1 in listed(page)
    assert page.run("window.harmed === undefined")
    assert page.run("document.querySelectorAll('main script, main img, main b').length") == 0
