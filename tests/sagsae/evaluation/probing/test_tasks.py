"""Rows of the probes: balanced, documents apart, and the same whatever else is asked for."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.evaluation.probing.tasks import Sampling, make_tasks
from sagsae.evaluation.probing.token_labels import NOT_COUNTED, Labelling


def made(seed: int = 0):
    """Labels of a kind with three classes, and documents of 10 rows each."""
    found = np.random.default_rng(seed).integers(NOT_COUNTED, 3, 2000).astype(np.int16)
    return Labelling("letter", ("a", "b", "c"), found), np.repeat(np.arange(200), 10)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(4, 400), st.integers(4, 100), st.floats(0.1, 0.6))
def test_classes_are_balanced_and_documents_are_apart(seed, train_rows, test_rows, share):
    labelling, documents = made(seed)
    sampling = Sampling(train_rows, test_rows, share, least_rows=1, seed=seed)
    tasks, left_out = make_tasks([labelling], documents, sampling)
    assert [task.name for task in tasks] == ["letter.a", "letter.b", "letter.c"]
    assert not left_out
    tested = {int(doc) for task in tasks for doc in documents[task.test]}
    trained = {int(doc) for task in tasks for doc in documents[task.train]}
    assert not tested & trained
    for number, task in enumerate(tasks):
        for rows, labels, most in (
            (task.train, task.train_labels, train_rows),
            (task.test, task.test_labels, test_rows),
        ):
            assert len(rows) <= most
            assert int(labels.sum()) * 2 == len(rows)
            assert len(rows.unique()) == len(rows)
            own = labelling.classes[rows]
            assert np.array_equal(own == number, labels.numpy())
            assert (own != NOT_COUNTED).all()


def test_a_task_hangs_on_no_other_one_and_on_the_seed():
    labelling, documents = made()
    alone = Labelling("letter", ("a",), np.where(labelling.classes > 0, -1, labelling.classes))
    sampling = Sampling(200, 60)
    (first, *_), _ = make_tasks([labelling], documents, sampling)
    (only,), _ = make_tasks([alone], documents, sampling)
    assert torch.equal(first.train, only.train)
    assert torch.equal(first.test, only.test)
    (other, *_), _ = make_tasks([labelling], documents, Sampling(200, 60, seed=1))
    assert not torch.equal(first.train, other.train)
