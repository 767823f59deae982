"""The one entry of the workflow: ``python -m pipeline STAGE``.

Rules and people name stages, never modules, so that code can move without a rerun.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from importlib import import_module

from pipeline.jobs.command_line import add_arguments, call
from pipeline.jobs.stage import prepare_process, run_stage

STAGES = {
    "Stages, which rules run": {
        "fetch": ("assets.fetch", "fetch a language model, or the text"),
        "tokenise": ("assets.tokenise", "pack the documents of one split into contexts"),
        "dump": ("activations.dump", "fill one activation store by one pass of a model"),
        "seal": ("activations.seal", "verify and seal a filled store: the end of a dump"),
        "baselines": ("activations.baselines", "measure a model's own and ablated losses"),
        "cell": ("cells.run", "train and evaluate one cell"),
        "train-together": ("cells.together", "train several cells on one stream of batches"),
        "dial": ("cells.dial", "steer a model with latents, opposite pairs and random directions"),
        "tables": ("tables.write", "write the tables from the metrics of all cells"),
        "browser-cell": ("browser.collect", "collect what the latent browser shows of one cell"),
        "browser-page": ("browser.page", "write the page of the latent browser"),
        "probe": ("cells.probe", "probe codes for labels of the text, and measure absorption"),
        "probe-tables": ("tables.probing", "write the tables of probing and absorption"),
        "dial-tables": ("tables.dial", "write the tables of steering"),
        "ranking-tables": ("tables.families", "rank all sweeps of a study of several families"),
        "claims": ("claims.page", "judge the paper's claims by the tables"),
        "figure": ("figures.draw", "draw one figure from the tables"),
        "convert": ("text.convert", "write a table as Parquet or as LaTeX"),
        "report": ("report.write", "write the report, one HTML file"),
        "summary": ("report.summary", "print what the comparisons found and where things are"),
        "export": ("hub.export", "write one cell as a folder that SAELens loads"),
        "hub-folder": ("hub.folder", "put cells into a folder for the Hugging Face hub"),
        "synthetic-run": ("synthetic.run", "run one seed of one synthetic protocol"),
        "synthetic-means": ("synthetic.means", "average the runs of a synthetic protocol"),
        "synthetic-figure": ("synthetic.figures", "draw one figure of a synthetic protocol"),
        "figure-1": ("synthetic.activation", "draw figure 1, Bi-Jump-ReLU itself"),
        "track-rows": ("tracking.send", "give trackers the curves that a job tells of"),
        "gpu-lease": ("jobs.gpu_lease", "lease a GPU and run a command on it"),
    },
    "Tools, for people": {
        "cells": ("study.list_cells", "list the cells of a study"),
        "targets": ("study.list_targets", "list what snakemake can be asked for"),
        "status": ("status.run", "what a study is doing: finished, running, failed, time left"),
        "cost": ("tools.cost", "estimate device-hours, tokens and disk of a study"),
        "cache": ("cache.run", "list, verify or prune what studies share"),
        "track": ("tracking.replay", "send the curves of finished cells to trackers"),
        "statistics": ("stores.statistics", "mean, spread and range of every feature of a store"),
        "convert-store": ("stores.convert", "copy a store: other layout, safetensors, SAELens"),
        "verify": ("verify.run", "check everything that a study has on disk"),
        "rebuild": ("report.rebuild", "make tables, figures and report from published metrics"),
        "publish": ("report.publish", "keep what can be committed of a study"),
        "restore": ("report.restore", "put kept metrics back: continue on another machine"),
        "schema": ("config.export_schema", "write the JSON schema of the configuration"),
    },
}
"""Group -> name -> (module of this package, what it does). The signature and the docstring of
a module's ``main`` are its command line, see ``pipeline.jobs.command_line``; the module's own
docstring is the help."""
MODULES = {name: entry[0] for group in STAGES.values() for name, entry in group.items()}


def usage() -> str:
    """All stages and tools, a line each."""
    lines = ["usage: python -m pipeline STAGE [options]"]
    for title, group in STAGES.items():
        lines += ["", f"{title}:", *(f"  {name:18}{text}" for name, (_, text) in group.items())]
    return "\n".join([*lines, "", "`python -m pipeline STAGE --help` lists the options of one."])


def stage_parser(name: str) -> argparse.ArgumentParser:
    """The command line of one stage or tool."""
    module = import_module(f"pipeline.{MODULES[name]}")
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline {name}",
        description=inspect.getdoc(module),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser, module.main)
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run the stage or tool that the first argument names."""
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return
    if name not in MODULES:
        sys.exit(f"error: no stage {name!r}\n\n{usage()}")
    options = stage_parser(name).parse_args(rest)
    call(import_module(f"pipeline.{MODULES[name]}").main, options)


if __name__ == "__main__":
    prepare_process()
    run_stage(lambda: main(sys.argv[1:]))
