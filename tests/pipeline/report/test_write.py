"""The report: one file, no network, every figure inside, the headline agrees with the table."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest

from pipeline.study.figures import FIGURES, SPECIFICATION_FIGURES
from pipeline.text.csv_files import read_table
from tests.pipeline.conftest import COLLAPSED, MadeStudy
from tests.pipeline.made_settings import made_settings

LOADING = ("src", "href", "srcset", "data", "poster", "action", "xlink:href")


class Page(HTMLParser):
    """Collects what a browser would load, and the text."""

    def __init__(self, html: str):
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in LOADING]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def html(built_study) -> str:
    return (built_study.root / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_nothing_is_loaded_from_anywhere(html, page):
    assert page.loads
    assert all(load.startswith("data:image/png;base64,") for load in page.loads)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert not re.search(r"url\(|@import|https?://", html)


def test_a_study_of_one_recipe_is_shown_without_recipes(page):
    assert "ecipe" not in page.text


def test_every_figure_is_embedded_whole_and_those_of_the_answer_first(page, built_study):
    embedded = [base64.b64decode(load.split(",", 1)[1]) for load in page.loads]
    first = ["figure_r2", "figure_2", "figure_3"]
    names = [*first, *(name for name in FIGURES if name not in first)]
    assert embedded == [
        (built_study.root / "figures" / f"{name}.png").read_bytes() for name in names
    ]


def test_the_headline_agrees_with_the_table(page, built_study):
    table = read_table(built_study.root / "tables" / "comparison.csv")
    wins = table[table["dominates"].astype(bool)]
    assert f"strictly dominates Gated in R2 on {len(wins)} of {len(table)}" in page.text
    low, high = wins["min_gap"].min(), wins["min_gap"].max()
    assert f"the smallest gap there is {low:+.3f} to {high:+.3f}" in page.text
    assert page.text.count(" yes ") == len(wins)
    assert "means over 2 seeds; where it dominates, P(dominance) is 1.00" in page.text


def test_what_the_report_must_say(page, built_study):
    for text in (
        "Study “made-up”",
        "reconstruction from the paper's abstract, figure captions and claims",
        "3.1000",
        "more than 95 % dead",
        "0.900 ± 0.000 (noise)",
        "matplotlib",
        "12e3456789012345",
    ):
        assert text in page.text, text
    model, hookpoint, variant, _ = COLLAPSED.split("/")
    assert f"{model} {hookpoint} {variant} 384 0.2 0" in page.text


def test_one_seed_is_hedged(one_seed_study):
    one_seed_study.tables()
    one_seed_study.claims()
    for name in FIGURES:
        path = one_seed_study.root / "figures" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"not looked at")
    text = Page(one_seed_study.report()).text
    assert "There is one seed per cell, so no standard error and no P(dominance)" in text
    assert "None: every cell has R2 of at least 0.2" in text


def test_it_leads_to_the_latent_browser_of_a_study_that_has_one(one_seed_study):
    one_seed_study.tables()
    one_seed_study.claims()
    for name in FIGURES:
        path = one_seed_study.root / "figures" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"not looked at")
    assert "index.html" not in " ".join(Page(one_seed_study.report()).loads)
    assert "browser/index.html" in Page(one_seed_study.report("--browser=browser/index.html")).loads


def test_names_are_escaped(one_seed_study):
    one_seed_study.spec["study"] = "<script>alert(1)</script>"
    one_seed_study.tables()
    one_seed_study.claims()
    for name in FIGURES:
        path = one_seed_study.root / "figures" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"not looked at")
    assert "script" not in Page(one_seed_study.report()).tags


def test_a_missing_figure_stops_the_report(one_seed_study):
    one_seed_study.tables()
    one_seed_study.claims()
    with pytest.raises(FileNotFoundError, match=r"figure_r2\.png"):
        one_seed_study.report()
    assert not (one_seed_study.root / "report.html").exists()


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> tuple[MadeStudy, str]:
    """A study of several settings with its specification curves, and its report."""
    made = made_settings(tmp_path_factory.mktemp("settings"))
    made.spec["figures"] = [*SPECIFICATION_FIGURES, "figure_r2@zero"]
    made.tables()
    made.claims()
    for name in made.spec["figures"]:
        made.figure(name)
    return made, made.report()


def section(html: str, start: str, end: str) -> str:
    """What stands under one heading, up to another."""
    return html[html.index(f"<h2>{start}</h2>") : html.index(f"<h2>{end}</h2>")]


def test_several_settings_are_set_side_by_side(settings):
    _, html = settings
    part = section(html, "Claims of the paper", "How it was done")
    matrix = part[: part.index("<details>")]
    assert matrix.count("<tr>") == 1 + 23 + 1 + 7  # claims, then settings
    assert "Holds under 3 of 7 settings: those with b_dec_init mean." in matrix
    assert matrix.count('<td class="mark yes">+<small> b</small></td>') == 3 * 2
    assert matrix.count('<td class="mark no">−') == 4 * 4
    assert "table.marks" in html


def test_the_curves_carry_the_answer(settings):
    made, html = settings
    front = html[html.index("<h1>") : html.index("<h2>")]
    assert front.count("<figure>") == 2
    for name in ("figure_spec_gap", "figure_spec_dead"):
        image = (made.root / "figures" / f"{name}.png").read_bytes()
        assert base64.b64encode(image).decode() in front
    moves = Page(section(html, "What moves the effects", "Tying, ablations, width")).text
    assert "Smallest R2 gap: " in moves
    assert "b_dec_init mean → zero 12 pairs -0.050" in moves
    rest = section(html, "Further figures", "The language models themselves")
    assert rest.count("<figure>") == 2


def test_verdicts_of_each_setting_are_folded(settings):
    _, html = settings
    part = section(html, "Claims of the paper", "How it was done")
    assert part.count("<details>") == part.count("</details>") == 7 + 1
    assert "<summary>Recipe zero-fast, 8d vs 16d</summary>" in part
    assert part.count("nothing is typed") == 1


def test_one_setting_is_shown_as_it_is(html):
    assert "What moves" not in html
    assert "table.marks" not in html
    assert section(html, "Claims of the paper", "How it was done").count("<details>") == 1
