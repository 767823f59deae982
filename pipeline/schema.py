"""Writes the configuration's JSON schema, field documentation included."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.config import StudyConfig
from pipeline.stage import run_stage
from sagsae.files import canonical_json, write_atomic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="schema file to write")
    write_atomic(parser.parse_args().out, canonical_json(StudyConfig.model_json_schema()))


if __name__ == "__main__":
    run_stage(main)
