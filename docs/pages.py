"""Pages of the site that are not files under docs/: hooks that mkdocs calls.

README and its kin are copied from the repository; the configuration and the stages are written
from the code that reads them; each package of the library gets a page.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from pipeline.__main__ import STAGES, TOOLS, stage_parser
from pipeline.study.sections import LARGEST
from pipeline.study.study_config import StudyConfig

ROOT = Path(__file__).resolve().parents[1]
COPIED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "config/README.md": "configuration.md",
    "profiles/README.md": "profiles.md",
}
"""File of the repository -> page."""
LINK = re.compile(r"\[([^\[\]]+)\]\(([^()#:\s]+)(#[^()\s]*)?\)")
IMAGES = (".png", ".svg")
LIMITS = {
    "exclusiveMinimum": "more than {}",
    "minimum": "at least {}",
    "exclusiveMaximum": "less than {}",
    "maximum": "at most {}",
    "minItems": "at least {} of them",
    "maxLength": "at most {} characters",
    "pattern": "matches `{}`",
}
"""Keywords of JSON schema in words."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the library's pages under the heading that mkdocs.yml keeps for them."""
    for entry in config.nav or []:
        if "The library" in entry:
            entry["The library"] = [{name: f"api/{name}.md"} for name in library()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and the images that they show."""
    add = partial(File.generated, config)
    for name, modules in library().items():
        text = "\n".join([f"# {name}", "", *(f"::: {module}" for module in modules)])
        files.append(add(f"api/{name}.md", content=text))
    files.append(add("reference/configuration.md", content="\n".join(configuration())))
    files.append(add("reference/stages.md", content="\n".join(stages())))
    sources = {ROOT / source: page for source, page in COPIED.items()}
    sources |= {path: path.name for path in (ROOT / "docs").glob("*.md")}
    for source, page in sources.items():
        text = source.read_text()
        if page in files.src_uris:
            files.remove(files.src_uris[page])
        files.append(add(page, content=LINK.sub(partial(moved, source.parent), text)))
        for link in {match[2] for match in LINK.finditer(text) if match[2].endswith(IMAGES)}:
            image = (source.parent / link).resolve()
            if not image.is_relative_to(ROOT / "docs") and place(image) not in files.src_uris:
                files.append(add(place(image), abs_src_path=str(image)))
    return files


def place(path: Path) -> str:
    """A file's path inside the repository."""
    return path.relative_to(ROOT).as_posix()


def moved(folder: Path, link: re.Match[str]) -> str:
    """A link as it must read on the site; text where it leaves the site."""
    text, anchor = link[1], link[3] or ""
    file = (folder / link[2]).resolve()
    if not file.exists():
        raise FileNotFoundError(f"a page in {folder} links to {link[2]}: no such file")
    target = place(file)
    if target in COPIED or target.startswith("docs/") or target.endswith(IMAGES):
        return f"[{text}]({COPIED.get(target, target.removeprefix('docs/'))}{anchor})"
    return text


def library() -> dict[str, list[str]]:
    """Each package of the library, and its modules."""
    packages: dict[str, list[str]] = {}
    for path in sorted((ROOT / "sagsae").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = ".".join(path.relative_to(ROOT).parent.parts)
        module = ".".join(part for part in parts if part != "__init__")
        packages.setdefault(package, []).append(module)
    return packages


def stages() -> Iterator[str]:
    """The page of tools and stages: their own help."""
    os.environ["COLUMNS"] = "79"
    yield "# Tools and stages\n\n`python -m pipeline COMMAND`, from the checkout of the workflow.\n"
    yield from ("| tool, for people | what it does |", "|---|---|")
    yield from (f"| [`{name}`](#{name}) | {text} |" for name, (_, text) in TOOLS.items())
    for title, group in (("Tools", TOOLS), ("Stages, which rules run", STAGES)):
        yield f"\n## {title}"
        for name in group:
            yield f"\n### {name}\n\n```text\n{stage_parser(name).format_help().strip()}\n```\n"


def configuration() -> Iterator[str]:
    """The page of every section and key of a configuration file, from the models that check it."""
    schema = StudyConfig.model_json_schema()
    yield "# Configuration\n"
    yield (
        "A configuration file is YAML. The table below lists its top level; a linked type is a"
        " section with keys of its own. A key without a default must be given. Unknown keys and"
        " values of another type are refused.\n"
    )
    for name, section in _sections(schema).items():
        yield f"## {name}\n\n{_text(section)}\n"
        yield from ("| key | type | default | what |", "|---|---|---|---|")
        for key, field in section.get("properties", {}).items():
            default = _default(field) if key not in section.get("required", []) else "must be given"
            yield _row(f"`{key}`", _type(field), default, _text(field))
        yield ""


def _sections(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The whole file, then each section, in the order in which keys mention them."""
    sections = {"A configuration file": schema}
    for section in (waiting := [schema]):
        for name in re.findall(r'"#/\$defs/(\w+)"', json.dumps(section["properties"])):
            if name not in sections:
                sections[name] = schema["$defs"][name]
                waiting.append(sections[name])
    return sections


def _text(described: dict[str, Any]) -> str:
    """Its description as one line of Markdown, in which <name> is no HTML."""
    words = " ".join(described.get("description", "").split())
    return re.sub("(`[^`]*`)|<", lambda part: part[1] or "&lt;", words)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    if isinstance(default, dict):
        return "as in its section"
    return f"`{default}`" if default not in (None, "") else "none"


def _type(field: dict[str, Any]) -> str:
    """What a value must be: its type, then the limits that the schema gives."""
    if reference := field.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if choices := field.get("anyOf") or field.get("oneOf") or field.get("allOf"):
        return " or ".join(_type(choice) for choice in choices if choice.get("type") != "null")
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("type", "value")
    if kind == "array":
        kind = f"list of {_type(field['items'])}"
    if kind == "object" and isinstance(values := field.get("additionalProperties"), dict):
        kind = f"map to {_type(values)}"
    limits = (
        text.format(field[key])
        for key, text in LIMITS.items()
        if field.get(key, LARGEST) != LARGEST
    )
    shown = ", ".join(limits)
    return f"{kind} ({shown})" if shown else kind
