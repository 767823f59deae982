"""Bounded heaps against sorting everything."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sagsae.evaluation.heaps import Entries, Heaps

KEYS = 4
batches = st.lists(
    st.lists(st.tuples(st.integers(0, KEYS - 1), st.integers(0, 6)), max_size=25), max_size=5
)


@given(batches, st.integers(0, 4))
def test_the_lowest_entries_stay_whatever_the_order(batches, k):
    heaps, every, place = Heaps(KEYS, k, 3), [], 0
    for batch in batches:
        key = np.array([key for key, _ in batch], np.int64)
        score = np.array([score for _, score in batch], float)
        places = place + np.arange(len(batch))
        place += len(batch)
        window = np.repeat(places[:, None], 3, 1).astype(np.float16)
        entries = Entries(score, places, (score * 2).astype(np.float32), window)
        chosen = np.sort(heaps.may_enter(key, score))
        heaps.add(key[chosen], entries.take(chosen))
        every += zip(key.tolist(), score.tolist(), places.tolist(), strict=True)
    for key in range(KEYS):
        there = np.isfinite(heaps.score[key])
        expected = sorted(one[1:] for one in every if one[0] == key)[:k]
        assert there.sum() == len(expected)
        assert there[: len(expected)].all()
        kept = list(zip(heaps.score[key][there], heaps.place[key][there], strict=True))
        assert kept == expected
        assert heaps.value[key][there].tolist() == [2 * score for score, _ in expected]
        assert heaps.window[key][there, 1].tolist() == [place for _, place in expected]


def test_popped_entries_are_gone():
    heaps = Heaps(3, 2, 1)
    entries = Entries(np.array([3.0, 1.0, 2.0]), np.arange(3), np.ones(3), np.ones((3, 1)))
    heaps.add(np.array([0, 0, 2]), entries)
    found = heaps.pop(np.array([0, 1]))
    assert found.score.tolist() == [1, 3]
    assert found.place.tolist() == [1, 0]
    assert np.isfinite(heaps.score).sum() == 1
