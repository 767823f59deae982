"""What a study's numbers were made with: packages, and the machine in one line."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("sagsae", "torch", "transformers", "zarr", "numpy", "pandas", "matplotlib", "snakemake")


def installed() -> dict[str, str]:
    """Python and the packages that decide the numbers, as installed here."""
    versions = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed as a package"
    return versions


def machine() -> str:
    """Processor, cores and memory of this machine."""
    named = re.search(r"^model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(), re.M)
    model = named[1].strip() if named else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {cores} cores, {memory:.0f} GiB"
