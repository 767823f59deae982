"""Writes the configuration's JSON schema, field documentation included."""

from __future__ import annotations

from pathlib import Path

from pipeline.study.config.study_config import StudyConfig
from sagsae.files import canonical_json, write_atomic


def main(out: Path, /) -> None:
    """Write the schema.

    Args:
        out: schema file to write
    """
    write_atomic(out, canonical_json(StudyConfig.model_json_schema()))
