"""Faults for valid configurations, each with the path that the message must name."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from pipeline.study.grid import MOST_CELLS
from tests.pipeline.config.strategies import Config

Place = tuple[str | int, ...]
Fault = tuple[Config, list[str]]
"""A faulty configuration, and paths that its message must name."""

NAN, INFINITY, HALF = float("nan"), float("inf"), "\ud800"
NO_NUMBER = [None, True, "3", "3e-3", [1], {}, NAN, INFINITY, -INFINITY]
NO_TEXT = [None, True, 3, 2.5, ["a"], {}, b"a"]
NO_FOLDER = [*NO_TEXT, "a\0b", "a\nb", "a{b}", "}", "~/a", "-a", "b" * 256, "a/" * 501, HALF]
NO_NAME = [*NO_TEXT, "", "A b", "../up", "a/b", "-a", "ü", "a\n", "m" * 65, "$(x)", "a.b"]
ENDLESS = ["a" * 20, "b" + "ab" * 20]
"""Names that are right but for Snakemake's guard against endless recursions."""

BAD: dict[str, list[Any]] = {
    "count": [*NO_NUMBER, 0, -1, 2.0, 2.5, 2**53 + 1, 10**30],
    "count or none": [*NO_NUMBER[1:], 0, -1, 2.0, 2.5, 2**53 + 1, 10**30],
    "natural": [*NO_NUMBER, -1, 2.0, 2.5, 2**53 + 1],
    "width": [True, "3", [1], NAN, 0, -1, 2.0, 10**9 + 1],
    "length": [*NO_NUMBER, 7, 2**20 + 1, 8.0],
    "positive": [*NO_NUMBER, 0, -0.5, 10**400],
    "share": [*NO_NUMBER, -0.1, 1.1],
    "decay": [*NO_NUMBER, -0.1, 1, 1.5],
    "fraction": [*NO_NUMBER, 0, 1, 1.0, -0.1],
    "heldout": [*NO_NUMBER, 0, 1e-7, 0.51, 1e-320],
    "not negative": [*NO_NUMBER, -0.5],
    "expansion": [True, "3", [1], NAN, INFINITY, 0, -1, 1e7, 1e308],
    "lambda": [*NO_NUMBER, 0, -0.1, 0.1234567, 1 / 3],
    "value": [None, [1], {}, NAN, INFINITY, "3e-3", "nan", 2**53 + 1, b"a", HALF],
    "text": [*NO_TEXT, HALF],
    "pattern": [*NO_TEXT, HALF, "", "(", "*a", "[b", "(?P<x"],
    "pattern or none": [*NO_TEXT[1:], HALF, "", "(", "*a", "[b", "(?P<x"],
    "choice": [*NO_TEXT, "zzz", "", "Auto"],
    "choice or none": [*NO_TEXT[1:], "zzz", "", "Online"],
    "switch": [None, 1, 0.0, "true", "yes", [True]],
    "digest": [*NO_TEXT, "", "a" * 63, "A" * 64, "g" * 64, "a" * 64 + "\n"],
    "package": [*NO_TEXT, "", "-r", "--no-index", "a @ file:y.whl", "git+file:y"],
    "version": [*NO_TEXT, "", "-1", "1 --pre", "1;a"],
    "repository": [*NO_TEXT, "", "../x", "/etc", "a/b/c", "a b", "-x", "a/"],
    "path": [*NO_TEXT, "", "a\0b", "a\rb", "~/a", HALF],
    "folder": [*NO_FOLDER, ""],
    "folder or none": NO_FOLDER,
    "name": [*NO_NAME, *ENDLESS],
    "hookpoint": [*NO_NAME, *ENDLESS, "..", "token_id", "doc_id", "position"],
    "module": [
        *NO_TEXT,
        "",
        ".",
        "a..b",
        "a.",
        "{layer.__class__}",
        "{0}",
        "{}",
        "{layer!r}",
        "a b",
    ],
    "filled list": [None, True, 3, "ab", {}, []],
    "filled list or none": [True, 3, "ab", {}, []],
    "list": [None, True, 3, "ab", {}],
    "mapping": [None, True, 3, "ab", [1]],
    "section": [None, True, 3, "ab", [1]],
    "section or none": [True, 3, "ab", [1]],
    "contexts": [*NO_NUMBER, 0, 3, -1, 4.0, 2**53 + 1],
    "known": NO_TEXT,
}
KINDS = {
    "name": "study name extends",
    "text": "note member terms revision column split source.name by recipes.*.factors.*"
    " project entity uri experiment",
    "pattern": "pattern",
    "pattern or none": "split_at",
    "count or none": "max_documents max_characters",
    "folder": "results",
    "folder or none": "cache folder",
    "choice or none": "mode",
    "choice": "device kind architecture start_token dtype profile variant matmul_dtype format"
    " figures.* tables.* labels.*"
    " variants.* b_dec_init gate_init decoder_norm auxiliary_decoder",
    "count": "jobs_per_gpu checkpoint_seconds shuffle_buffer documents words vocabulary train_rows"
    " heldout_rows rows_per_block rows_per_chunk calibration_contexts batch_contexts tokens"
    " batch_size group_chunks lr_contexts random positions dial.seeds probe.seeds least_rows"
    " test_rows ks.* top promoted",
    "contexts": "contexts",
    "width": "d_model width",
    "natural": "latents pairs samples window layer seed seeds.* lr_warmup_steps lambda_warmup_steps"
    " reset_window_tokens",
    "positive": "alphas.* max_norm_ratio learning_rate lr_noise_gap matched_l0.* decoder_init_norm",
    "share": "lr_decay_fraction",
    "decay": "beta1 beta2",
    "fraction": "slack test_share",
    "heldout": "heldout_fraction",
    "not negative": "theta_init clip_gradient_norm",
    "length": "context_length",
    "expansion": "expansion",
    "lambda": "lambdas.*",
    "digest": "sha256",
    "package": "package",
    "version": "version",
    "repository": "repo",
    "switch": "sharded",
    "path": "path paths.* data_files.*",
    "value": "source.parameters.*",
    "module": "models.*.hookpoints.*",
    "hookpoint": "hookpoints.*",
    "known": "grid.*.models.* grid.*.hookpoints.* grid.*.recipes.* dial.models.* dial.hookpoints.*"
    " dial.recipes.* browser.models.* browser.hookpoints.* browser.recipes.* browser.cells.*"
    " probe.models.* probe.hookpoints.* probe.recipes.*",
    "filled list": "models wheels hookpoints paths grid lambdas ks seeds alphas labels",
    "filled list or none": "grid.*.models grid.*.hookpoints grid.*.recipes variants dial.models"
    " dial.hookpoints dial.recipes browser.models browser.hookpoints browser.recipes browser.cells"
    " probe.models probe.hookpoints probe.recipes",
    "list": "formats.figures formats.tables comparisons matched_l0 data_files sources replace",
    "mapping": "parameters models.*.hookpoints recipes factors",
    "section": "formats models.* source text dump training evaluation wheels.* grid.* comparisons.*"
    " candidate baseline sources.* replace.* recipes.*",
    "section or none": "dial probe browser tracking wandb tensorboard mlflow",
}
KIND_OF = {pattern: kind for kind, patterns in KINDS.items() for pattern in patterns.split()}
OPEN = ("parameters", "models.*.hookpoints", "recipes", "factors")
"""Mappings whose keys are names that the configuration makes up."""


def places(value: Any, place: Place = (), pattern: str = "") -> Iterator[tuple[Place, str]]:
    """Every field and element of a configuration, and what kind of value belongs there."""
    inside = pattern.endswith(OPEN)
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        part = "*" if inside or isinstance(key, int) else str(key)
        here = f"{pattern}.{part}".removeprefix(".")
        yield (*place, key), kind_of(here)
        if isinstance(item, dict | list):
            yield from places(item, (*place, key), here)


def kind_of(pattern: str) -> str:
    """The kind under the longest ending of a pattern; KeyError where a field is not known here."""
    parts = pattern.split(".")
    endings = (".".join(parts[i:]) for i in range(len(parts)))
    return KIND_OF[next((end for end in endings if end in KIND_OF), pattern)]


def at(config: Config, place: Place) -> Any:
    found: Any = config
    for key in place:
        found = found[key]
    return found


def named(place: Place) -> str:
    return ".".join(str(key) or '""' for key in place)


@st.composite
def wrong_values(draw: st.DrawFn, config: Config, most: int) -> Fault:
    """Up to ``most`` fields that lie beside each other have values that cannot be."""
    faulty, hit, paths = copy.deepcopy(config), [], []
    for place, kind in draw(
        st.lists(st.sampled_from(list(places(config))), min_size=min(2, most), max_size=most)
    ):
        reach = place[:-1] if place[-1] == "kind" else place  # decides what its section may hold
        if not any(reach[: len(o)] == o or o[: len(reach)] == reach for o in hit):
            at(faulty, place[:-1])[place[-1]] = draw(st.sampled_from(BAD[kind]))
            hit.append(reach)
            paths.append(named(place))
    return faulty, paths


@st.composite
def wrong_keys(draw: st.DrawFn, config: Config) -> Fault:
    """A section lacks a key that it must have, or has one that it cannot have."""
    faulty = copy.deepcopy(config)
    sections = [()] + [place for place, kind in places(config) if kind.startswith("section")]
    place = draw(st.sampled_from(sections))
    found = at(faulty, place)
    known = NEEDED - {"hookpoints", "models"} if place else NEEDED
    if found.get("kind") == "hub":
        known = known - {"name"}  # of a dataset, whose default configuration it may be
    if place == ("probe",):
        known = set()
    needed = [] if place[:1] == ("recipes",) else sorted(set(found) & known)
    if needed and draw(st.booleans()):
        key = draw(st.sampled_from(needed))
        del found[key]
    else:
        key = draw(st.sampled_from(["zzz", "__class__", "Study", "learning_rat", ""]))
        found[key] = 1
    return faulty, [named((*place, key))]


NEEDED = {
    *("study", "models", "hookpoints", "text", "dump", "grid", "training", "source", "kind"),
    *("name", "d_model", "layer", "sha256", "wheels", "package", "version", "member", "repo"),
    *("architecture", "path", "paths", "train_rows", "heldout_rows", "tokens", "variant"),
    *("lambdas", "ks", "candidate", "baseline", "pattern", "by"),
}
"""Keys that are required; those of the whole file that sections may have too only there."""


def _twice(config: Config) -> list[str]:
    config["models"].append(copy.deepcopy(config["models"][0]))
    config["hookpoints"].append(config["hookpoints"][0])
    return [
        f"models.{len(config['models']) - 1}.name",
        f"hookpoints.{len(config['hookpoints']) - 1}",
    ]


def _reserved_model(config: Config) -> list[str]:
    for entry in config["grid"]:
        entry.pop("models", None)
    config["models"][-1]["name"] = "text"
    return [f"models.{len(config['models']) - 1}.name"]


def _unknown(config: Config) -> list[str]:
    config["grid"][0]["models"] = [config["models"][0]["name"], "gpt5"]
    config["grid"][-1]["hookpoints"] = ["nowhere"]
    return ["grid.0.models.1", f"grid.{len(config['grid']) - 1}.hookpoints.0"]


def _no_module(config: Config) -> list[str]:
    for model in config["models"]:
        model["hookpoints"] = {"elsewhere": "a.b"}
    return [f"models.{i}.hookpoints" for i in range(len(config["models"]))]


def _same_cells(config: Config) -> list[str]:
    config["grid"].append(copy.deepcopy(config["grid"][0]))
    return [f"grid.{len(config['grid']) - 1}"]


def _same_seed(config: Config) -> list[str]:
    config["grid"][0]["seeds"] *= 2
    return ["grid.0"]


def _too_many(config: Config) -> list[str]:
    config["grid"][0]["seeds"] = list(range(MOST_CELLS + 1))
    return ["grid"]


def _two_ways(config: Config) -> list[str]:
    random = {"kind": "random"}
    config["text"] |= {"source": random, "sources": [{"name": "a", "source": random}]}
    return ["text.sources"]


def _no_way(config: Config) -> list[str]:
    for way in ("source", "sources"):
        config["text"].pop(way, None)
    return ["text.source"]


def _same_sources(config: Config) -> list[str]:
    config["text"].pop("source", None)
    part = {"name": "a", "source": {"kind": "hub", "repo": "me/text"}}
    config["text"]["sources"] = [part | {"max_documents": 3}, part]
    return ["text.sources.1.name", "text.sources.1.max_characters"]


def _broken_blocks(config: Config) -> list[str]:
    config["dump"]["rows_per_chunk"] = config["dump"]["rows_per_block"] + 1
    return ["dump.rows_per_chunk"]


def _no_block(config: Config) -> list[str]:
    dump = config["dump"]
    dump["rows_per_block"] = dump["rows_per_chunk"] * (dump["train_rows"] + dump["heldout_rows"])
    dump["train_rows"] = dump["heldout_rows"] = dump["rows_per_block"] - 1
    return ["dump.train_rows", "dump.heldout_rows"]


def _no_batch(config: Config) -> list[str]:
    training = config["training"]
    training["batch_size"] = training["tokens"] + 1
    return ["training.tokens"]


def _two_widths(config: Config) -> list[str]:
    config["grid"][0] |= {"width": 8, "expansion": 2}
    return ["grid.0.width"]


def _no_width(config: Config) -> list[str]:
    config["grid"][-1].pop("width", None)
    config["grid"][-1].pop("expansion", None)
    return [f"grid.{len(config['grid']) - 1}.expansion"]


def _bad_keys(config: Config) -> list[str]:
    config["models"][0]["hookpoints"] = {"../up": "a", "token_id": "a"}
    return ["models.0.hookpoints.../up.[key]", "models.0.hookpoints.token_id.[key]"]


def _no_recipes(config: Config) -> list[str]:
    config["grid"][0]["recipes"] = ["default", "nowhere"]
    config["recipes"] = {"a": {"extends": "b"}, "b": {"extends": "a"}, "c": {}}
    config["recipes"] |= {"d": {"extends": "e"}, "default": {"training": {"beta1": 0.3}}}
    faulty = ("a.extends", "b.extends", "c", "d.extends", "default")
    return ["grid.0.recipes.1", *(f"recipes.{path}" for path in faulty)]


def _no_dial(config: Config) -> list[str]:
    config["comparisons"] = []
    config["evaluation"] = {"lr_contexts": 8}
    config["dial"] = {"contexts": 9, "models": ["gpt5"], "hookpoints": ["nowhere"]}
    config["dial"]["recipes"] = ["default", "nothing"]
    fields = ("contexts", "models.0", "hookpoints.0", "recipes.1")
    return ["comparisons", *(f"dial.{field}" for field in fields)]


def _no_probe(config: Config) -> list[str]:
    config["probe"] = {"models": ["gpt5"], "hookpoints": ["nowhere"], "recipes": ["nothing"]}
    fields = [f"probe.{field}.0" for field in config["probe"]]
    config["probe"] |= {"least_rows": 40, "test_rows": 60}
    return [*fields, "probe.test_rows"]


def _no_browser(config: Config) -> list[str]:
    config.pop("dial", None)
    config["comparisons"] = []
    config["browser"] = {"models": ["gpt5"], "hookpoints": ["nowhere"], "recipes": ["nothing"]}
    return ["browser", *(f"browser.{field}.0" for field in config["browser"])]


CONTRADICTIONS: dict[str, Callable[[Config], list[str]]] = {
    "a model and a hookpoint listed twice": _twice,
    "a model in the folder of the text": _reserved_model,
    "unknown model and hookpoint in the grid": _unknown,
    "no module for a hookpoint": _no_module,
    "cells given twice": _same_cells,
    "a seed given twice": _same_seed,
    "more cells than a plan holds": _too_many,
    "one source and several": _two_ways,
    "neither one source nor several": _no_way,
    "a source listed twice and without a cap": _same_sources,
    "chunks that do not divide blocks": _broken_blocks,
    "splits of less than a block": _no_block,
    "less than one batch": _no_batch,
    "two widths": _two_widths,
    "no width": _no_width,
    "impossible hookpoint names": _bad_keys,
    "steering without sides, contexts or places": _no_dial,
    "probes without places or rows": _no_probe,
    "a browser without sides or places": _no_browser,
    "recipes without ground, twice the same, under a taken name": _no_recipes,
}


@st.composite
def contradictions(draw: st.DrawFn, config: Config) -> Fault:
    """Fields that do not go together."""
    faulty = copy.deepcopy(config)
    return faulty, CONTRADICTIONS[draw(st.sampled_from(sorted(CONTRADICTIONS)))](faulty)
