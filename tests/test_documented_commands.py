"""What README and docs tell people to type: commands and configurations; messages of errors."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
import yaml
from pydantic import TypeAdapter

from pipeline.__main__ import TOOLS, stage_parser
from pipeline.study.run_settings import RunSettings
from pipeline.study.study import Study
from pipeline.study.study_config import DEFAULT_CONFIG, StudyConfig
from pipeline.tools.list_targets import targets

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(ROOT / folder / "README.md" for folder in ("config", "profiles")),
    *sorted((ROOT / "docs").glob("*.md")),
]
TYPED = ("snakemake", "make", "python -m pipeline", "python -m benchmarks")
"""What inline code begins with that is a command."""
ELSEWHERE = {"cd", "export", "hf", "tensorboard", "wandb", "podman", "pipx", "pre-commit", "aws"}
"""Commands of other programs: not checked."""
READERS_OWN = {"my-study.yaml", "my-lambdas.yaml"}
PLACEHOLDERS = {"TARGET", "COMMAND", "NAME", "STAGE", "X"}


class Typed(NamedTuple):
    """A command, and the page that has it."""

    page: str
    words: list[str]


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Page and text of each fenced block of a language, those inside lists too."""
    for page in PAGES:
        for block in re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(), re.M | re.S):
            yield page.relative_to(ROOT).as_posix(), block


def commands() -> Iterator[Typed]:
    """Every command of the pages, inner ones of $(...) apart."""
    lines = [(page, line) for page, block in blocks("sh") for line in joined(block)]
    for page in PAGES:
        prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)
        inline = re.findall(r"`([^`\n]+)`", prose)
        lines += [(page.relative_to(ROOT).as_posix(), text) for text in inline if is_typed(text)]
    for page, line in lines:
        inner = re.findall(r"\$\((.+?)\)", line)
        for command in (re.sub(r"\$\(.+?\)", "", line), *inner):
            if words := shlex.split(command, comments=True):
                yield Typed(page, words)


def joined(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


def is_typed(text: str) -> bool:
    """Whether inline code is a whole command, not the name of a program or a pattern."""
    known = text.startswith(tuple(f"{start}{end}" for start in TYPED for end in " ."))
    return known and "<" not in text and "…" not in text and not PLACEHOLDERS & set(text.split())


ALL = list(commands())


def of(*start: str) -> list[Typed]:
    """The commands that begin so, without these words."""
    found = [
        Typed(page, words[len(start) :]) for page, words in ALL if words[: len(start)] == [*start]
    ]
    assert found
    return found


def test_every_command_is_of_a_kind_that_is_checked():
    checked = {"snakemake", "make", "python", "python3", "pip", ".venv/bin/pip", "pytest"}
    for page, words in ALL:
        assert words[0] in checked | ELSEWHERE | {".", "source"}, f"{page}: {words}"


def test_make_has_the_targets():
    makefile = (ROOT / "Makefile").read_text()
    for page, words in of("make"):
        for word in words:
            name, is_variable, _ = word.partition("=")
            pattern = rf"^{name} [?:]?=" if is_variable else rf"^{name}:.*##|^help:"
            assert re.search(pattern, makefile, re.M), f"{page}: make {word}"


def test_tools_take_the_options():
    for page, (name, *options) in of("python", "-m", "pipeline"):
        if name == "--help" or (not options and name in TOOLS):
            continue  # inline code may name a tool alone
        try:
            stage_parser(name).parse_args(options)
        except (SystemExit, KeyError):
            pytest.fail(f"{page}: python -m pipeline {name} {' '.join(options)}")
        for word in options:
            if word.endswith(".yaml"):
                assert word in READERS_OWN or (ROOT / word).exists(), f"{page}: {word}"


def test_extras_modules_and_files_are_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for page, words in ALL:
        for names in re.findall(r"(?:\.|sagsae)\[(.*?)\]", " ".join(words)):
            assert set(names.split(",")) <= extras.keys(), f"{page}: {names}"
        if words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
            assert (ROOT / f"{words[2].replace('.', '/')}.py").exists(), f"{page}: {words[2]}"
        if words[0] in ("source", "pytest"):
            assert all((ROOT / w).exists() for w in words if w.startswith(("tests/", "workflow/")))


def snakemake_parts(words: list[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Targets and options, as Snakemake reads them: an option takes the words up to the next."""
    asked: list[str] = []
    options: dict[str, list[str]] = {}
    single = {"--cores", "--report", "--workflow-profile", "--snakefile", "--sdm"}
    several = {
        "--quiet",
        "--config",
        "--configfile",
        "--resources",
        "--default-resources",
        "--set-resources",
    }
    taking, room = asked, len(words)
    for word in words:
        if word.startswith("-"):
            name, given, value = word.partition("=")
            taking, room = options.setdefault(name, []), 0
            if given:
                taking.append(value)
            else:
                room = 1 if name in single else len(words) if name in several else 0
        elif room:
            taking.append(word)
            room -= 1
        else:
            asked.append(word)
    return asked, options


def test_snakemake_knows_the_targets():
    """Those of the local study in one dry run, those of other studies by their list."""
    local: set[str] = set()
    flags = {"-n", "-f", "-R", "--force", "--dry-run"}
    known = {"--cores", "--report", "--workflow-profile", "--config", "--configfile", "--sdm"}
    known |= {
        "--resources",
        "--default-resources",
        "--set-resources",
        "--snakefile",
        "--quiet",
    } | flags
    for page, words in of("snakemake"):
        asked, options = snakemake_parts(words)
        assert options.keys() <= known, f"{page}: {options.keys() - known}"
        for profile in options.get("--workflow-profile", []):
            assert (ROOT / profile / "profile.yaml").exists(), f"{page}: {profile}"
        (file,) = options.get("--configfile", [str(DEFAULT_CONFIG)])
        settings = [yaml.safe_load(text.partition("=")[2]) for text in options.get("--config", [])]
        names = [text.partition("=")[0] for text in options.get("--config", [])]
        sections(page, dict(zip(names, settings, strict=True)))
        asked = [target for target in asked if "/" not in target or "results/local" in target]
        if file == str(DEFAULT_CONFIG):
            local |= set(asked)
        elif file not in READERS_OWN and asked:
            assert set(asked) <= set(targets(Study.load(ROOT / file))), f"{page}: {asked}"
    local -= {"probe", "signs", "figure_spec_gap"}
    assert len(local) > 10
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "--cores", "2", *local]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def sections(page: str, raw: dict[str, Any]) -> None:
    """Check some sections of a configuration, or settings of a run, one by one."""
    for name, value in raw.items():
        kind = StudyConfig if name in StudyConfig.model_fields else RunSettings
        assert name in kind.model_fields, f"{page}: {name}"
        field = kind.model_fields[name]
        TypeAdapter(Annotated[field.annotation, field]).validate_python(value)


def test_configurations_are_valid():
    whole = 0
    for page, block in blocks("yaml"):
        raw = yaml.safe_load(block.replace("my_package.module:Class", "gated"))
        sections(page, raw)
        if "study" in raw:
            whole += 1
            assert Study.from_dict(raw).cells, page
    assert whole >= 2


def test_python_is_python_and_the_comparison_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for page, block in blocks("python"):
        code = compile(block, page, "exec")
        if "results/reference" in block:
            exec(code, {})
    assert capsys.readouterr().out == "strictly dominates: True; +0.0299 at least\n"


def literals() -> str:
    """All texts of the code, with a blank for what is filled in."""
    texts = []
    for file in [*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "sagsae").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts) + "".join(f.read_text() for f in (ROOT / "workflow").rglob("*.smk"))


def test_the_messages_of_troubleshooting_are_those_of_the_code():
    known, page = literals(), (ROOT / "docs" / "troubleshooting.md").read_text()
    firsts = re.findall(r"^\| (.*?) \| .*? \| .*? \|$", page, re.M)
    fragments = [text for first in firsts for text in re.findall(r"`(.+?)`", first)]
    assert len(fragments) > 30
    missing = [text for text in fragments if text not in known]
    assert not missing
