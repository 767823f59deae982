"""The one entry of the workflow: ``python -m pipeline STAGE``.

Rules and people name stages, never modules, so that code can move without a rerun.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import textwrap
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from pipeline.jobs.command_line import add_arguments, call
from pipeline.jobs.stage import copy_output, prepare_process, run_stage

TOOLS = {
    "status": ("tools.status", "what a study is doing: finished, running, failed, time left"),
    "cells": ("study.list_cells", "list the cells of a study"),
    "pilot": ("tools.pilot", "find lambdas that give the L0 that you want, by short training"),
    "cost": ("tools.cost", "estimate device-hours, tokens and disk of a study"),
    "verify": ("tools.verify", "check everything that a study has on disk"),
    "cache": ("tools.cache", "list or prune what studies share"),
    "preview": ("tools.preview", "tables, figures and report of the cells that are there by now"),
    "publish": ("tools.publish", "keep what can be committed of a study"),
    "schema": ("study.study_config", "write the JSON schema of the configuration"),
}
"""Name -> (module of this package, what it does), for people. The signature and the docstring of a
module's ``main`` are its command line, see ``pipeline.jobs.command_line``."""
STAGES = {
    "fetch": "data.fetch",
    "tokenise": "data.tokenise",
    "dump": "data.dump",
    "gaussian-rows": "data.gaussian",
    "feature-rows": "data.features",
    "baselines": "data.baselines",
    "cell": "cells.run",
    "measures": "study.measures",
    "tables": "analysis.csv_files",
    "browser": "cells.browser.collect",
    "browser-page": "cells.browser.page",
    "figure": "analysis.figure",
    "page": "analysis.page",
    "report": "analysis.report",
    "export": "tools.hub.export",
    "hub-folder": "tools.hub.folder",
    "synthetic-run": "synthetic.protocols",
    "gpu-lease": "jobs.gpu_lease",
    "targets": "tools.list_targets",
}
"""Name -> module of what rules run, and a shell that completes. Besides, a section whose jobs look
into cells is a stage of its name."""
MODULES = STAGES | {name: module for name, (module, _) in TOOLS.items()}


def module_of(name: str) -> str:
    """The module of a stage or tool; empty if there is none."""
    if name not in MODULES:
        from pipeline.study.study_config import LOOKS

        return f"pipeline.cells.{name}" if name in LOOKS else ""
    return f"pipeline.{MODULES[name]}"


def usage() -> str:
    """All tools, a line each, and the names of the stages."""
    stages = f"Rules run these stages: {', '.join(STAGES)}."
    lines = ["usage: python -m pipeline COMMAND [options]", ""]
    lines += [f"  {name:15}{text}" for name, (_, text) in TOOLS.items()]
    lines += ["", textwrap.fill(stages, width=100, break_on_hyphens=False), ""]
    return "\n".join([*lines, "`python -m pipeline COMMAND --help` lists options."])


def stage_parser(name: str) -> argparse.ArgumentParser:
    """The command line of one stage or tool."""
    module = import_module(module_of(name))
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline {name}",
        description=inspect.getdoc(module),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(parser, module.main)
    parser.add_argument("--log", type=Path, help="file that has all that is printed, too")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run the stage or tool that the first argument names."""
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return
    if not module_of(name):
        sys.exit(f"error: no command {name!r}\n\n{usage()}")
    options = stage_parser(name).parse_args(rest)
    if log := vars(options).pop("log"):
        copy_output(log)
    call(import_module(module_of(name)).main, options)


if __name__ == "__main__":
    prepare_process()
    run_stage(lambda: main(sys.argv[1:]))
