"""Whether the configuration at hand made a file. Every reader of a record or a measure asks here.

Each file that a job leaves carries the digests of the specifications that it follows from: `spec`,
or several under `made_from`. A study knows which digests it expects. Snakemake compares parameters
as well, but its memory lies in `.snakemake`, which a copied folder lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.jobs.json_files import digest, read_json

# Name of a specification -> the digest that the configuration at hand gives it.
Expected = Mapping[str, str]


def made_from(spec: Any) -> dict[str, str]:
    """What the file of a job with one specification carries."""
    return {"spec": digest(spec)}


class OtherConfigurationError(ValueError):
    """A file that another configuration made; the message names both digests."""


def check_made_for(where: object, record: Mapping[str, Any], expected: Expected) -> None:
    """Compare the digests that a record carries with those of this study.

    Args:
        where: The file or the measure, for the message.
        record: Its content.
        expected: What this study's configuration gives.

    Raises:
        OtherConfigurationError: one differs.
    """
    carried = record.get("made_from", record)
    for name, wanted in expected.items():
        if carried.get(name) != wanted:
            raise OtherConfigurationError(
                f"{where}: made for another configuration: {name} {carried.get(name)}, this "
                f"study's is {wanted}: run snakemake to make it again"
            )


def is_made_for(file: str | Path, expected: Expected) -> bool:
    """Whether a file is there, is sound, and was made for this study."""
    try:
        check_made_for(file, read_json(file), expected)
    except (OSError, ValueError, AttributeError):
        return False
    return True
