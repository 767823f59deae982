"""``sagsae.load``: an autoencoder from a file, a folder, or a repository of the hub."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path, PurePosixPath

from sagsae.autoencoders import weights as storage
from sagsae.autoencoders.base import Autoencoder
from sagsae.exchange import FORMATS, OWN_WEIGHTS
from sagsae.exchange.peers import format_of, read_peer

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def load(
    source: str | Path,
    cell: str = "",
    *,
    revision: str | None = None,
    variant: type[Autoencoder] | None = None,
) -> Autoencoder:
    """Read an autoencoder written by ``Autoencoder.save``, or a folder of another library.

    No module that a file names is imported, and no pickle runs code, see `sagsae.exchange.peers`.
    ``loss`` is the one that was trained, but for AuxK, which needs to know which latents are dead.

    Args:
        source: The file, or a folder that holds it as ``sae.safetensors``, or else what SAELens or
            dictionary_learning has written; or ``owner/name``, a repository of the Hugging Face hub
            with the same. What is there on the disk comes first.
        cell: Folder of the autoencoder below the source, for example
            ``smollm2-135m/resid/sagsae_tied/w1152_lam0.1_seed0``.
        revision: Branch, tag or commit of the repository; its main branch by default.
        variant: The class itself, of what was saved as a class of another package.

    Raises:
        FileNotFoundError: there is no such file, and no such repository that can be reached; the
            message says which.
        ImportError: a class of another package, without ``variant``; the message names it.
        ValueError: not such a file, or tensors that do not fit its header, or values that are not
            finite; or a folder of another library that cannot be read (``ForeignError``). The
            message names the file.
    """
    path = Path(source)
    if not path.exists() and REPOSITORY.fullmatch(str(source)):
        path = _downloaded(str(source), cell, revision)
    if path.is_dir():
        folder = path / cell
        format = None if (folder / OWN_WEIGHTS).exists() else format_of(folder)
        return read_peer(folder, format) if format else storage.load(folder / OWN_WEIGHTS, variant)
    if cell:
        raise FileNotFoundError(f"{source}: no such folder, so no {cell} in it")
    return storage.load(path, variant)


def _downloaded(repo: str, cell: str, revision: str | None) -> Path:
    """A copy of the repository in the hub's cache on this machine, with these files alone."""
    from huggingface_hub import snapshot_download

    names = [OWN_WEIGHTS, *chain.from_iterable(FORMATS.values())]
    wanted = [str(PurePosixPath(cell, name)) for name in names]
    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=wanted))
        if not any((folder / name).exists() for name in wanted):
            raise FileNotFoundError(f"the repository has none of {', '.join(wanted)}")
        return folder
    except Exception as error:  # network faults come as errors of several HTTP libraries
        at = f" at revision {revision}" if revision else ""
        raise FileNotFoundError(
            f"{repo}: no such folder here, and no autoencoder {cell} can be had from the "
            f"repository of that name on the Hugging Face hub{at} ({type(error).__name__}: "
            f"{error}); check the name, the cell and the network, or log in with `hf auth login` "
            "if it is private"
        ) from error
