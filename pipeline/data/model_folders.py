"""Model folders: each kind of source becomes config, safetensors weights and tokenizer."""

from __future__ import annotations

import hashlib
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.data.random_sources import SEED, save_random_model
from pipeline.data.wheels import fetch_file, hub_errors, scratch_folder, whole_folder
from pipeline.jobs.cache import entry_folder
from pipeline.jobs.json_files import read_json, sha256_of
from pipeline.jobs.progress import say
from pipeline.jobs.stage import link_or_copy
from pipeline.study.sources import TOKENIZER_FILES

# What is fetched of a hub repository: configuration, tokenizer, safetensors; never pickles.
HUB_PATTERNS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
# The downloaded file of a model, beside its folder, until the model is known to load.
GGUF = "model.gguf"


def make_model_folder(source: dict[str, Any], folder: Path) -> tuple[Path, str | None]:
    """Make, or find, the model folder that a source describes.

    Args:
        source: dump of a ``ModelSource``; under ``randomise`` its weights are redrawn.
        folder: where it goes, if it has to be made. An existing folder is replaced.

    Returns:
        The model folder, and the commit of a hub model.

    Raises:
        AssetError: the source cannot be had.
        LanguageModelError: it is no loadable model.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if source.get("randomise"):
        with scratch_folder(folder.with_name(".true")) as scratch, whole_folder(folder) as partial:
            true, commit = _true_folder(source, scratch / "model")
            _redraw(true, partial)
        return folder, commit
    return _true_folder(source, folder)


def _true_folder(source: dict[str, Any], folder: Path) -> tuple[Path, str | None]:
    match source["kind"]:
        case "wheels":
            return _from_gguf(source, folder), None
        case "hub":
            return _from_hub(source, folder)
        case "path":
            from sagsae.activations.language_models import check_model_folder

            return check_model_folder(source["path"]), None
        case _:
            with whole_folder(folder) as partial:
                save_random_model(source, partial)
            return folder, None


def _redraw(true: Path, folder: Path) -> None:
    """Copy a model with random weights.

    Every tensor of floating point numbers in its files, of one dimension, too, is drawn from a
    Gaussian with the tensor's mean and standard deviation. So a constant one stays, and tied
    embeddings, which are one tensor, stay tied. Equal files give equal files.
    """
    import torch
    from safetensors.torch import load_file, save_file

    generator = torch.Generator().manual_seed(SEED)
    for path in sorted({path for pattern in HUB_PATTERNS for path in true.glob(pattern)}):
        if path.suffix != ".safetensors":
            shutil.copyfile(path, folder / path.name)
            continue
        tensors = load_file(path)
        for name, value in sorted(tensors.items()):
            if value.is_floating_point():
                std, mean = torch.std_mean(value.float(), correction=0)
                drawn = torch.randn(value.shape, generator=generator)
                tensors[name] = (drawn * std + mean).to(value.dtype)
        save_file(tensors, folder / path.name, metadata={"format": "pt"})
        (folder / path.name).chmod(0o644)  # safetensors are readable by their owner only


def describe_model(folder: Path) -> dict[str, Any]:
    """Load a model and its tokenizer once, and say what they are.

    Returns:
        model_type, d_model, n_layers, vocab_size (rows of the embedding), and ``folder_digests``.

    Raises:
        LanguageModelError: the model or its tokenizer cannot be loaded.
    """
    from sagsae.activations.language_models import load_language_model, load_tokenizer

    config = load_language_model(folder).config
    load_tokenizer(folder)
    text = config.get_text_config()
    return {
        "model_type": config.model_type,
        "d_model": text.hidden_size,
        "n_layers": text.num_hidden_layers,
        "vocab_size": text.vocab_size,
        **folder_digests(folder),
    }


def folder_digests(folder: Path) -> dict[str, str]:
    """Digests of a model's weights, of its tokenizer and of its configuration."""
    return {
        "weights_sha256": _files_digest(folder, ("*.safetensors",)),
        "tokenizer_sha256": _files_digest(folder, TOKENIZER_FILES),
        "config_sha256": _files_digest(folder, ("config.json", "generation_config.json")),
    }


def check_model(asset: Path) -> None:
    """Compare the folder of a model with the digests in its asset.json.

    Raises:
        ValueError: a file was changed, or the folder is gone.
    """
    record = read_json(asset)
    folder = entry_folder(asset, record) / record["folder"]
    for key, value in folder_digests(folder).items():
        if value != record[key]:
            raise ValueError(
                f"{folder}: {key} is {value}, {asset} has {record[key]}: restore it; if the "
                "change is meant, make the record again"
            )


def _files_digest(folder: Path, patterns: tuple[str, ...]) -> str:
    """One digest over the names and digests of the matching files."""
    paths = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    lines = "".join(f"{path.name} {sha256_of(path)}\n" for path in paths)
    return hashlib.sha256(lines.encode()).hexdigest()


def _from_gguf(source: dict[str, Any], folder: Path) -> Path:
    """Download a GGUF file, dequantise it once to bfloat16, and save it as a plain folder."""
    import gguf as library
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from sagsae.activations.language_models import require_complete

    file = fetch_file(source, folder.with_name(GGUF))
    say(f"{file}: dequantising to bfloat16")
    vars(library)["GGUFReader"] = cache(library.GGUFReader)  # else it is parsed three times
    given = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    model, info = AutoModelForCausalLM.from_pretrained(
        file.parent,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
        output_loading_info=True,
        **given,
    )
    require_complete(info, file.parent, file.name)
    with whole_folder(folder) as partial:
        model.save_pretrained(partial)
        AutoTokenizer.from_pretrained(file.parent, **given).save_pretrained(partial)
        for path in partial.iterdir():
            path.chmod(0o644)  # safetensors are written readable by their owner only
    return folder


def _from_hub(source: dict[str, Any], folder: Path) -> tuple[Path, str]:
    """One commit of a hub repository, by way of the hub's cache on this machine, and the commit.

    Without a network what that cache has is taken. Files are hard links to it where they can be.
    """
    from huggingface_hub import snapshot_download

    name = f"{source['repo']} at revision {source['revision']}"
    say(f"fetching {name}")
    with hub_errors(name, "models"):
        cached = Path(
            snapshot_download(
                source["repo"],
                revision=source["revision"],
                allow_patterns=list(HUB_PATTERNS),
                ignore_patterns=["*/*"],
            )
        )
    with whole_folder(folder) as partial:
        for path in (path for pattern in HUB_PATTERNS for path in cached.glob(pattern)):
            link_or_copy(path, partial / path.name)
    return folder, cached.name
