"""Real wheels, a real GGUF file and small specifications, for the tests of assets."""

import hashlib
import zipfile

import gguf
import numpy as np

from pipeline.data import fetch as assets
from pipeline.study.sources import RandomModel
from pipeline.study.specs import AssetSpec, TextSpec

LLAMA = {
    "num_hidden_layers": 1,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
}


def tiny_gguf(path):
    """A one-layer Llama in GGUF, unquantised, with a byte-level tokenizer."""
    tokens = byte_tokens()
    d, kv, hidden, vocabulary = 32, 16, 48, len(tokens)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(d)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * (vocabulary - 2))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    rng = np.random.default_rng(0)
    shapes = {
        "token_embd": (vocabulary, d),
        "output_norm": (d,),
        "output": (vocabulary, d),
        "blk.0.attn_norm": (d,),
        "blk.0.ffn_norm": (d,),
        "blk.0.attn_q": (d, d),
        "blk.0.attn_k": (kv, d),
        "blk.0.attn_v": (kv, d),
        "blk.0.attn_output": (d, d),
        "blk.0.ffn_gate": (hidden, d),
        "blk.0.ffn_up": (hidden, d),
        "blk.0.ffn_down": (d, hidden),
    }
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, value in values.items():
        writer.add_tensor(f"{name}.weight", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values


def byte_tokens():
    from tokenizers import pre_tokenizers

    return ["<bos>", "<eos>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "ab"]


def make_wheel(folder, package, members):
    """A real wheel, minimal, that pip accepts; returns its sha256."""
    name = package.replace("-", "_")
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    records = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in (members | records).items():
            archive.writestr(member, content)
    return sha256(path.read_bytes())


def wheel_source(folder, monkeypatch, member, content, **changes):
    """A source of one member of a wheel, in the only package index that pip then knows."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    wheel = {"package": "some-text", "version": "1.0", "member": member}
    wheel["sha256"] = make_wheel(folder, "some-text", {member: content})
    digest = sha256(content.encode())
    return {"kind": "wheels", "wheels": [wheel], "sha256": digest, "terms": "CC0"} | changes


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def model_spec(source):
    return AssetSpec.model_validate({"revision": 1, "model": source})


def text_spec(source):
    return TextSpec.model_validate({"revision": 1, "text": source})


def made_model(spec, out):
    """What the stage makes of a model whose source is that of the specification."""
    return assets.make_model(spec, spec.model.model_dump(), out)


def made_text(spec, out):
    """What the stage makes of a text whose source is that of the specification."""
    return assets.make_text(spec, spec.text.model_dump(), out)


def nothing_finished(folder):
    """No finished file and nothing half-written in an asset folder."""
    return [p.name for p in folder.iterdir() if p.name != ".lock"] == []


def random_source(**changes):
    fields = {"kind": "random", "architecture": "smollm3", "parameters": LLAMA} | changes
    return RandomModel.model_validate(fields).model_dump()
