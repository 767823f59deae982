"""The report in a real browser: nothing is loaded, and nothing is wider than the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.study.figures import FIGURES, SPECIFICATION_FIGURES
from tests import chromium
from tests.chromium import Page
from tests.pipeline.made_settings import made_settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not chromium.find(),
        reason=f"no Chromium here: install one, or give its path in {chromium.VARIABLE}",
    ),
]
WIDER = """[...document.querySelectorAll("body *")].filter(
    found => found.scrollWidth > found.clientWidth + 1 && found.clientWidth
).map(found => found.className || found.tagName)"""
"""The elements whose content is wider than they are."""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """Of several settings, with a comparison of each and every kind of table."""
    made = made_settings(tmp_path_factory.mktemp("settings"))
    made.spec["figures"] = [*SPECIFICATION_FIGURES, *FIGURES]
    made.tables()
    verdicts = made.root / "verdicts.csv"
    verdicts.write_text("claim,outcome\ndominance,holds\n")
    made.claims("--reference", str(verdicts))
    for name in made.spec["figures"]:
        made.figure(name)
    made.report()
    return made.root / "report.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Page]:
    with chromium.page(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.mark.parametrize("width", [1200, 1001, 768, 390])
def test_nothing_is_wider_than_the_page(report, page, width):
    fits(page, report, width, ".marks")
    assert page.errors == []
    asked = [address for address in page.requests if not address.startswith("data:")]
    assert set(asked) <= {report.as_uri(), "about:blank"}, json.dumps(asked)


def fits(page: Page, report: Path, width: int, wanted: str) -> None:
    """Nothing is wider than a page of this width, with all that can be opened open."""
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=900,
        deviceScaleFactor=1,
        mobile=width < 500,
    )
    page.call("Page.navigate", url=report.as_uri())
    page.wait(f"document.readyState == 'complete' && document.querySelector('{wanted}')")
    page.run("document.querySelectorAll('details').forEach(found => found.open = true)")
    assert page.run("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    assert page.run(WIDER) == []


def test_the_answer_is_seen_first(report, page):
    heads = page.run("[...document.querySelectorAll('h1, h2')].map(found => found.innerText)")
    assert heads[:4] == [
        "Does SA-GSAE tied do at half the width what Gated does at full width?",
        "Claims of the paper",
        "How it was done",
        "Comparisons",
    ]
    images = "[...document.images].every(found => found.complete && found.naturalWidth > 0)"
    assert page.run(images)
    assert page.run("document.querySelectorAll('h1 ~ figure').length") >= 3
