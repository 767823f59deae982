"""Checkpoints check themselves; a damaged one is as good as none."""

from __future__ import annotations

import pytest
import torch

from sagsae.training.checkpoint import newest_checkpoint, save_checkpoint


@pytest.fixture
def checkpoint(tmp_path):
    """Of step 2, over one of step 1."""
    path = tmp_path / "c.safetensors"
    for step in (1, 2):
        save_checkpoint(path, {"x": torch.full((4,), float(step))}, {"step": step})
    return path


def test_the_newest_of_two_checkpoints(checkpoint):
    tensors, state = newest_checkpoint(checkpoint)
    assert state == {"step": 2}
    assert tensors["x"].tolist() == [2.0] * 4
    assert newest_checkpoint(checkpoint.with_name("other")) is None


@pytest.mark.parametrize("place", range(0, 300, 7))
def test_a_flipped_bit_is_said_and_training_starts_again(checkpoint, place, capsys):
    content = bytearray(checkpoint.read_bytes())
    content[place % len(content)] ^= 1
    checkpoint.write_bytes(content)
    assert newest_checkpoint(checkpoint) is None
    said = capsys.readouterr().err
    assert "cannot be used" in said
    assert "starts from the beginning" in said
