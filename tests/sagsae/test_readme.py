"""The library's example in the README, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

import sagsae

ROOT = Path(__file__).parents[2]


def example() -> str:
    """The one Python block of README."""
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    return str(code)


def save_tiny_gpt2(folder: Path) -> None:
    """A random model and a tokenizer of whole numbers."""
    vocabulary = {str(i): i for i in range(90)} | {"<end>": 90}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<end>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<end>", eos_token="<end>"
    ).save_pretrained(folder)
    sizes = {"n_embd": 32, "n_layer": 8, "n_head": 2, "vocab_size": 91}
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **sizes)).save_pretrained(folder)


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    """Where the name is a folder, Transformers asks no hub."""
    save_tiny_gpt2(tmp_path / "openai-community" / "gpt2")
    (tmp_path / "texts").mkdir()
    for text in range(3):
        words = " ".join(str((7 * i * i + text) % 90) for i in range(3000))
        (tmp_path / "texts" / f"{text}.txt").write_text(words)
    monkeypatch.chdir(tmp_path)
    exec(compile(example(), "README.md", "exec"), {})
    assert re.search(r"^CE loss increase: -?\d\.\d\d nats per token\n", capsys.readouterr().out)
    assert sagsae.load(tmp_path / "sae.safetensors").width == 3072
