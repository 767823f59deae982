"""The lowest entries of each key against sorting everything."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sagsae.evaluation.profiles import Lowest

KEYS = 4
batches = st.lists(
    st.lists(st.tuples(st.integers(0, KEYS - 1), st.integers(0, 6)), max_size=25), max_size=5
)


@given(batches, st.integers(0, 4))
def test_the_lowest_entries_stay_whatever_the_order(batches, k):
    lowest, every, place = Lowest(KEYS, k, 3), [], 0
    for batch in batches:
        key = np.array([key for key, _ in batch], np.int64)
        score = np.array([score for _, score in batch], float)
        places = place + np.arange(len(batch))
        place += len(batch)
        windows = np.repeat(places[:, None], 3, 1).astype(np.float16)
        lowest.offer(key, score, places, (score * 2).astype(np.float32), windows.__getitem__)
        every += zip(key.tolist(), score.tolist(), places.tolist(), strict=True)
    for key in range(KEYS):
        there = np.isfinite(lowest.score[key])
        expected = sorted(one[1:] for one in every if one[0] == key)[:k]
        assert there.tolist() == [n < len(expected) for n in range(k)]
        kept = list(zip(lowest.score[key][there], lowest.place[key][there], strict=True))
        assert kept == expected
        assert lowest.value[key][there].tolist() == [2 * score for score, _ in expected]
        assert lowest.window[key][there, 1].tolist() == [place for _, place in expected]
