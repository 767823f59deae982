"""Writes the configuration's JSON schema, field documentation included."""

from __future__ import annotations

import argparse

from pipeline.config import StudyConfig
from pipeline.files import write_json
from pipeline.stage import run_stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="schema file to write")
    write_json(parser.parse_args().out, StudyConfig.model_json_schema())


if __name__ == "__main__":
    run_stage(main)
