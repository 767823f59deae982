"""Labels that a text gives by itself: first letter, digit, function word, source of the document.

Each kind of label has classes; a token is of one of them, of none, or it does not count.

=========  ==========================================================  ============================
kind       tokens that count                                           classes
=========  ==========================================================  ============================
letter     those that start a word                                     its first letter, a to z
digit      all but special tokens                                      whether it holds a digit 0-9
word       whole words                                                 the lists of `FUNCTION_WORDS`
source     all but special tokens                                      source of the document
=========  ==========================================================  ============================

A token starts a word if its first character, white space left out, is a letter of ASCII, and white
space, punctuation or the beginning of a document lies before it. It is a whole word if it is
nothing but letters and no letter, digit or apostrophe follows. Where a context ends nobody knows
what lies beyond, and the token does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_letters, ascii_lowercase

import numpy as np

# Closed classes of English words. They are short, frequent in any text, and hold few words, so
# that they can be listed and no tagger decides. A word that is in two classes stands in the one in
# which it is more frequent; ``that``, ``as`` and ``so``, which have none, are left out.
FUNCTION_WORDS = {
    "determiner": "the a an this these those every each some any no another",
    "preposition": "of in to for with on at by from into over under between through during "
    "against without within",
    "pronoun": "he she it they we you i him her them us me his their its our your my",
    "auxiliary": "is are was were be been being has have had will would can could may might shall "
    "should must do does did",
}

# Word -> number of the list that has it.
LISTED = {
    word: number for number, words in enumerate(FUNCTION_WORDS.values()) for word in words.split()
}

NO_CLASS, NOT_COUNTED = -1, -2
APOSTROPHES = "'\u2019"
LETTERS = frozenset(ascii_letters)


@dataclass(frozen=True)
class Labelling:
    """One kind of label.

    Attributes:
        kind: letter, digit, word or source.
        names: of its classes.
        classes: [...] int16, the class of each token, `NO_CLASS` or `NOT_COUNTED`.
    """

    kind: str
    names: tuple[str, ...]
    classes: np.ndarray

    def take(self, places: np.ndarray) -> Labelling:
        """The labels of some tokens, by their places in the flattened array."""
        return Labelling(self.kind, self.names, self.classes.ravel()[places])


def _letter(text: str) -> int:
    """Number of the letter that a text begins with, white space left out."""
    first = text.strip()[:1]
    return ascii_lowercase.index(first.lower()) if first in LETTERS else NO_CLASS


def _of_word(character: str) -> bool:
    return character.isalnum() or (bool(character) and character in APOSTROPHES)


def token_labels(
    texts: Sequence[str],
    input_ids: np.ndarray,
    doc_id: np.ndarray,
    special: Sequence[int] = (),
    starts: bool = True,
) -> list[Labelling]:
    """The labels letter, digit and word of every token of some contexts.

    Args:
        texts: [V] text of each token, white space before a word included.
        input_ids: [n, L] token ids.
        doc_id: [n, L] document of each token.
        special: ids of tokens that are no text; a document begins behind one.
        starts: whether each context begins with a token that is no text. What lies before the
            token behind it is in another context.
    """

    def of_tokens(rule: Callable[[str], bool | int]) -> np.ndarray:
        """[n, L], what a rule says of the text of each token."""
        return np.array([rule(token) for token in texts]).take(input_ids)

    text = ~np.isin(input_ids, np.array(list(special), np.int64))
    if starts:
        text[:, 0] = False
    same = np.zeros(input_ids.shape, bool)  # as the token before, of one document and both text
    same[:, 1:] = (doc_id[:, 1:] == doc_id[:, :-1]) & text[:, 1:] & text[:, :-1]
    goes_on = np.zeros(input_ids.shape, bool)
    goes_on[:, 1:] = same[:, 1:] & of_tokens(lambda token: _of_word(token[-1:]))[:, :-1]
    goes_on[:, : 1 + starts] = True  # what lies before is in another context
    begins = text & (of_tokens(lambda token: token[:1].isspace()) | ~goes_on)
    letter = of_tokens(_letter)
    start = begins & (letter >= 0)
    followed = np.zeros(input_ids.shape, bool)
    followed[:, :-1] = same[:, 1:] & of_tokens(lambda token: _of_word(token[:1]))[:, 1:]
    followed[:, -1] = True  # by what is in another context
    word = start & of_tokens(lambda token: token.strip().isalpha()) & ~followed
    listed = of_tokens(lambda token: LISTED.get(token.strip().lower(), NO_CLASS))
    digit = of_tokens(lambda token: any("0" <= character <= "9" for character in token))
    return [
        _labelling("letter", tuple(ascii_lowercase), letter, start),
        _labelling("digit", ("digit",), np.where(digit, 0, NO_CLASS), text),
        _labelling("word", tuple(FUNCTION_WORDS), listed, word),
    ]


def source_labels(
    names: Sequence[str], first_document: Sequence[int], labels: Labelling, doc_id: np.ndarray
) -> Labelling:
    """The source of every token.

    Args:
        names: of the sources, in the order of their documents.
        first_document: number of the first document of each.
        labels: of kind digit, whose tokens count.
        doc_id: [n, L] document of each token.
    """
    source = np.searchsorted(first_document, doc_id, side="right") - 1
    return _labelling("source", tuple(names), source, labels.classes != NOT_COUNTED)


def _labelling(
    kind: str, names: tuple[str, ...], classes: np.ndarray, counted: np.ndarray
) -> Labelling:
    return Labelling(kind, names, np.where(counted, classes, NOT_COUNTED).astype(np.int16))
