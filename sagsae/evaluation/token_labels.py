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

from collections.abc import Sequence
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


@dataclass(frozen=True)
class _Vocabulary:
    """What the text of each token says of it, [V] arrays."""

    # Whether it begins with white space.
    spaced: np.ndarray
    # Number of the letter that it begins with, white space left out; -1 for none.
    letter: np.ndarray
    # Whether it begins with a character of a word.
    inside: np.ndarray
    # Whether it ends with one.
    unended: np.ndarray
    # Whether it is nothing but letters, white space left out.
    whole: np.ndarray
    # Number of the list that has it; -1 for none.
    listed: np.ndarray
    digit: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str]) -> _Vocabulary:
        lists = {
            word: number
            for number, words in enumerate(FUNCTION_WORDS.values())
            for word in words.split()
        }
        bare = [text.strip() for text in texts]
        return cls(
            spaced=np.array([text[:1].isspace() for text in texts]),
            letter=np.array(
                [ascii_lowercase.index(b[0].lower()) if b[:1] in LETTERS else -1 for b in bare]
            ),
            inside=np.array([_of_word(text[:1]) for text in texts]),
            unended=np.array([_of_word(text[-1:]) for text in texts]),
            whole=np.array([b.isalpha() for b in bare]),
            listed=np.array([lists.get(b.lower(), NO_CLASS) for b in bare]),
            digit=np.array([any("0" <= c <= "9" for c in text) for text in texts]),
        )


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
    known, text = _Vocabulary.of(texts), ~np.isin(input_ids, np.array(list(special), np.int64))
    if starts:
        text[:, 0] = False
    same = np.zeros(input_ids.shape, bool)  # as the token before, of one document and both text
    same[:, 1:] = (doc_id[:, 1:] == doc_id[:, :-1]) & text[:, 1:] & text[:, :-1]
    unknown_before = np.zeros(input_ids.shape, bool)
    unknown_before[:, : 1 + starts] = True
    goes_on = np.zeros(input_ids.shape, bool)
    goes_on[:, 1:] = same[:, 1:] & known.unended[input_ids[:, :-1]]
    begins = text & (known.spaced[input_ids] | ~(goes_on | unknown_before))
    letter = known.letter[input_ids]
    start = begins & (letter >= 0)
    followed = np.zeros(input_ids.shape, bool)
    followed[:, :-1] = same[:, 1:] & known.inside[input_ids[:, 1:]]
    followed[:, -1] = True  # by what is in another context
    word = start & known.whole[input_ids] & ~followed
    return [
        _labelling("letter", tuple(ascii_lowercase), letter, start),
        _labelling("digit", ("digit",), np.where(known.digit[input_ids], 0, NO_CLASS), text),
        _labelling("word", tuple(FUNCTION_WORDS), known.listed[input_ids], word),
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
