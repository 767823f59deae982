"""The report: one file, no network, every figure inside, the headline agrees with the table."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest

from pipeline.study.figures import FIGURES
from pipeline.text.csv_files import read_table

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
