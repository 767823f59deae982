"""Writes the configuration's JSON schema, field documentation included."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.config.study_config import StudyConfig
from sagsae.files import canonical_json, write_atomic


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the tool."""
    parser.add_argument("out", type=Path, help="schema file to write")


def main(options: argparse.Namespace) -> None:
    """Write the schema."""
    write_atomic(options.out, canonical_json(StudyConfig.model_json_schema()))
