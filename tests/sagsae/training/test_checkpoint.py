"""Checkpoints check themselves, and the one before stands in for a damaged one."""

from __future__ import annotations

import pytest
import torch

from sagsae.training.checkpoint import newest_checkpoint, save_checkpoint


@pytest.fixture
def two_checkpoints(tmp_path):
    """Steps 1 and 2; the path of the newer one."""
    path = tmp_path / "c.safetensors"
    for step in (1, 2):
        save_checkpoint(path, {"x": torch.full((4,), float(step))}, {"step": step})
    return path


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_the_newest_of_two_checkpoints(two_checkpoints):
    tensors, state = newest_checkpoint(two_checkpoints)
    assert state == {"step": 2}
    assert tensors["x"].tolist() == [2.0] * 4


@pytest.mark.parametrize("place", range(0, 300, 7))
def test_a_flipped_bit_falls_back_to_the_checkpoint_before(two_checkpoints, place, capsys):
    flip(two_checkpoints, place % two_checkpoints.stat().st_size)
    _, state = newest_checkpoint(two_checkpoints)
    assert state == {"step": 1}
    assert "cannot be used" in capsys.readouterr().err


def test_two_damaged_checkpoints_are_none(two_checkpoints, capsys):
    flip(two_checkpoints, -1)
    flip(two_checkpoints.with_name("c.safetensors.previous"), -1)
    assert newest_checkpoint(two_checkpoints) is None
    assert "starts from the beginning" in capsys.readouterr().err


def test_a_kill_between_the_two_renames_leaves_the_one_before(two_checkpoints):
    two_checkpoints.unlink()
    assert newest_checkpoint(two_checkpoints)[1] == {"step": 1}
