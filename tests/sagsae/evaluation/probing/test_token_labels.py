"""Labels that a text gives: on sentences whose answer anyone can read."""

from __future__ import annotations

import numpy as np
import pytest

from sagsae.evaluation.probing.token_labels import (
    NO_CLASS,
    NOT_COUNTED,
    source_labels,
    token_labels,
)

END = "<end>"


def labelled(contexts: list[list[str]], starts: bool = True) -> dict:
    """Kind -> the name of each token's class; "-" for none, None where it does not count."""
    texts = sorted({text for context in contexts for text in context})
    ids = np.array([[texts.index(text) for text in context] for context in contexts])
    special = [i for i, text in enumerate(texts) if text == END]
    found = {}
    for one in token_labels(texts, ids, np.zeros_like(ids), special, starts):
        names = {NO_CLASS: "-", NOT_COUNTED: None} | dict(enumerate(one.names))
        found[one.kind] = [[names[number] for number in row] for row in one.classes.tolist()]
    return found


def test_first_letters_are_those_of_words():
    (found,) = labelled([[END, " The", " cat", "fish", ",", "don", "'t", "\n", "Paw", "s", "é"]])[
        "letter"
    ]
    assert found == [None, "t", "c", None, None, "d", None, None, "p", None, None]


def test_digits_are_counted_on_every_token_of_text():
    (found,) = labelled([[END, " the", "1", " x2y", "٣", "."]])["digit"]
    assert found == [None, "-", "digit", "digit", "-", "-"]


def test_sources_are_those_of_the_documents():
    labels = token_labels(
        [" a", END], np.array([[0, 1, 0, 0]]), np.array([[0, 0, 4, 5]]), [1], False
    )
    found = source_labels(["wiki", "chat"], [0, 5], labels[1], np.array([[0, 0, 4, 5]]))
    assert (found.kind, found.names) == ("source", ("wiki", "chat"))
    assert found.classes.tolist() == [[0, NOT_COUNTED, 0, 1]]
    assert found.take(np.array([3, 0])).classes.tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["letter", "digit", "word"])
def test_more_context_changes_only_what_was_not_known(kind):
    """A long context cut in two: only the tokens at the cut lose a label, none gets another."""
    first = [" the", " cat", " sat", " on", " a", " mat", " ,"]
    words = [*first, " and", " he", " saw", " 12", " dogs", " at", " home"]
    whole = labelled([words], starts=False)[kind][0]
    cut = labelled([words[:7], words[7:14]], starts=False)[kind]
    for place, label in enumerate(cut[0] + cut[1]):
        assert label in (whole[place], None)
        if place not in (0, 6, 7, 13):
            assert label == whole[place]
