"""Reading a configuration file, and saying what is wrong with one.

Snakemake reads files named with ``--configfile`` itself; the default file, and those that
``Study.load`` is given, are read here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.study.config.sections import FieldFaults

LARGEST_FILE = 2**18
"""Bytes of the longest configuration file that is read."""
MOST_VALUES = 50_000
"""Keys, values and lists of the largest configuration, each alias written out."""


class ConfigError(ValueError):
    """A configuration that cannot be run; the message lists every fault with its path."""


def load_yaml(path: Path) -> Any:
    """Parse one YAML file; faults name the file.

    Only plain values are made, never objects. Aliases are counted as often as they are used,
    because merging nested ones would fill the memory; a key may occur once.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ConfigError(f"{path}: more than {LARGEST_FILE} bytes: no configuration file")
        loader = yaml.SafeLoader(content)
        node = loader.get_single_node()
        if node is None:
            return None
        if (count := _values(node, {})) > MOST_VALUES:
            raise ConfigError(f"{path}: {count} values, aliases followed; {MOST_VALUES} at most")
        return loader.construct_document(node)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply, or an alias inside itself") from None
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        # Values that contradict their tag make PyYAML raise what its conversions raise.
        raise ConfigError(f"{path}: not readable as YAML: {error}") from None


def _values(node: yaml.Node, counted: dict[int, int]) -> int:
    """How many nodes there are below ``node`` once each alias is written out."""
    if id(node) not in counted:
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            parts = node.value
        elif isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
            _keys_once(node)
        counted[id(node)] = 1 + sum(_values(part, counted) for part in parts)
    return counted[id(node)]


def _keys_once(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in seen:
                line = key.start_mark.line + 1
                raise ValueError(f"key {key.value!r} is given again in line {line}")
            seen.add(key.value)


def describe(error: ValidationError, where: str) -> str:
    """Every fault of a validation on its own line: path, what is wrong, what was given."""
    lines = [f"  {fault}" for fault in faults_of(error)]
    return "\n".join([f"{where}: {len(lines)} error(s)", *lines])


def faults_of(error: ValidationError) -> list[str]:
    """Every fault of a validation: path, what is wrong, what was given."""
    found = []
    for item in error.errors():
        path, fault = _path(item["loc"]), item.get("ctx", {}).get("error")
        if item["type"].startswith("union_tag"):
            path.append("kind")
        if isinstance(fault, FieldFaults):
            found += [f"{'.'.join((*path, field))}: {text}" for field, text in fault.faults]
            continue
        message = item["msg"].removeprefix("Value error, ")
        found.append(f"{'.'.join(path) or '(whole file)'}: {message}{_given(item.get('input'))}")
    return found


def _path(place: tuple[int | str, ...]) -> list[str]:
    """Keys and indices; without the kind of a source, which pydantic puts in, and no file has."""
    parts = [str(part) or '""' for part in place]
    if "source" in parts:
        del parts[parts.index("source") + 1 : parts.index("source") + 2]
    return parts


def _given(value: Any) -> str:
    if isinstance(value, dict | list):
        return ""
    try:
        shown = json.dumps(value, default=str)
    except ValueError:  # more digits than Python writes out
        shown = "a number of thousands of digits"
    shown = re.sub(r"//[^/@\s]*@", "//***@", shown)  # credentials that somebody put in a URL
    return f" (given: {shown if len(shown) <= 200 else shown[:200] + '...'})"
