"""Where activations come from, in words of other tools."""

from __future__ import annotations

import pytest

from pipeline.hub.origin import text_sources
from pipeline.study.study import Study
from tests.pipeline.made_grid import configuration

WHEEL = {"package": "some-text", "version": "1.2", "sha256": "a" * 64, "member": "texts.json"}
WHEELS = {"kind": "wheels", "wheels": [WHEEL], "sha256": "b" * 64, "terms": "CC BY-SA"}
HUB = {"kind": "hub", "repo": "someone/texts", "revision": "v1"}
NAMED_WHEEL = ("some-text 1.2 (PyPI)", f"sha256 {'b' * 64}", "CC BY-SA")


def described(text, documents):
    raw = configuration(text={"context_length": 64, **text})
    return [tuple(one) for one in text_sources(Study.from_dict(raw).text_spec().text, documents)]


@pytest.mark.parametrize(
    ("source", "documents", "expected"),
    [
        (WHEELS, {"sha256": "c" * 64}, NAMED_WHEEL),
        (HUB, {"resolved_revision": "c0ffee"}, ("someone/texts", "c0ffee", "")),
        (
            {"kind": "files", "paths": ["a.txt", "b.txt"]},
            {"sha256": "c" * 64},
            ("a.txt, b.txt", f"sha256 {'c' * 64}", ""),
        ),
        ({"kind": "random", "seed": 3}, {"sha256": "c" * 64}, ("random words", "seed 3", "")),
    ],
)
def test_one_source(source, documents, expected):
    assert described({"source": source}, documents) == [expected]


def test_several_sources():
    parts = [
        {"name": "one", "source": WHEELS},
        {"name": "two", "source": HUB, "max_documents": 5},
    ]
    assert described({"sources": parts}, {"sha256": "c" * 64}) == [
        NAMED_WHEEL,
        ("someone/texts", "v1", ""),
    ]
