"""Mutations of one module: small edits of its source, each a program of its own.

The operators are mutmut's, applied to the whole module: `mutmut run` itself leaves out decorated
functions, and with them every claim and every property.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, WhitespaceInclusivePositionProvider
from mutmut.mutation.mutators import mutation_operators

KEPT = ("strict=True", "non_blocking=True")
"""Arguments that are never taken away: a check of what cannot fail, and speed."""
TEXTS = (cst.ConcatenatedString, cst.Decorator)
"""Strings within them are for people."""
UNTOUCHED_CALLS = {"len", "isinstance"}
LEFT_OUT = (
    "annotations, docstrings and what is under `if TYPE_CHECKING`",
    "texts for people: strings with a space, strings of several parts, and those of decorators "
    "(the expressions in them are changed). Other strings are changed once, without regard to case",
    "the decorator `@dataclass(...)`",
    f"the arguments {' and '.join(f'`{name}`' for name in KEPT)}",
    "calls of `len` and `isinstance`, as mutmut has it",
)
"""Rules of this module in words, for the page."""


@dataclass(frozen=True, order=True)
class Key:
    """What names a mutation for as long as its line and the function around it stay.

    Attributes:
        where: Qualified name of the function or class; empty at the top of the module.
        was: The changed lines, stripped.
        now: What they become.
        nth: Counts equal changes in one function.
    """

    where: str
    was: str
    now: str
    nth: int = 0


@dataclass(frozen=True)
class Mutation:
    """One edit: the source that it makes, and the lines of the original that it touches."""

    key: Key
    source: str
    lines: range


def mutations(source: str) -> list[Mutation]:
    """Every mutation of a module, in the order of its lines; none twice."""
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    visitor = _Edits(wrapper)
    wrapper.visit(visitor)
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: dict[str, Mutation] = {}
    counts: Counter[Key] = Counter()
    for where, node, text in visitor.found:
        position = wrapper.resolve(WhitespaceInclusivePositionProvider)[node]
        begin = starts[position.start.line - 1] + position.start.column
        end = starts[position.end.line - 1] + position.end.column
        before = wrapper.module.code_for_node(node)
        assert source[begin:end].split() == before.split()  # but for indentation
        changed = source[:begin] + text + source[end:]
        if changed in found or changed == source or not _compiles(changed):
            continue
        key = _key(where, source, changed)
        lines = range(position.start.line, position.end.line + 1)
        found[changed] = Mutation(Key(key.where, key.was, key.now, counts[key]), changed, lines)
        counts[key] += 1
    return list(found.values())


class _Edits(cst.CSTVisitor):
    """Collects (where, node, its new text)."""

    METADATA_DEPENDENCIES = (WhitespaceInclusivePositionProvider,)

    def __init__(self, wrapper: MetadataWrapper):
        super().__init__()
        self.module = wrapper.module
        self.found: list[tuple[str, cst.CSTNode, str]] = []
        self.names: list[str] = []
        self.in_text = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        if _untouched(node) or (self.in_text and isinstance(node, cst.SimpleString)):
            return False
        self.in_text += isinstance(node, TEXTS)
        if isinstance(node, cst.ClassDef | cst.FunctionDef):
            self.names.append(node.name.value)
        before = self.module.code_for_node(node)
        for mutated in _mutated(node):
            text = self.module.code_for_node(mutated)
            if not any(before.count(kept) > text.count(kept) for kept in KEPT):
                self.found.append((".".join(self.names), node, text))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if not _untouched(original_node):
            self.in_text -= isinstance(original_node, TEXTS)
        if isinstance(original_node, cst.ClassDef | cst.FunctionDef):
            self.names.pop()


def _untouched(node: cst.CSTNode) -> bool:
    """Whether a node and all within it stay as they are: the rules of ``LEFT_OUT``."""
    if isinstance(node, cst.Annotation):
        return True
    if isinstance(node, cst.SimpleString):
        return " " in node.value
    if isinstance(node, cst.Arg) and node.keyword is not None:
        return f"{node.keyword.value}={getattr(node.value, 'value', '')}" in KEPT
    if m.matches(node, m.If(test=m.Name("TYPE_CHECKING"))):
        return True
    if m.matches(node, m.Decorator(decorator=m.Call(func=m.Name("dataclass")))):
        return True
    return m.matches(node, m.Call(func=m.Name())) and node.func.value in UNTOUCHED_CALLS


def _mutated(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """What the operators make of a node, and nothing in place of a call for its effect."""
    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            made: Iterable[cst.CSTNode] = operator(node)
            yield from list(made)[:1] if isinstance(node, cst.SimpleString) else made
    if m.matches(node, m.Expr(value=m.Call())):
        yield cst.Expr(cst.Ellipsis())


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _key(where: str, source: str, changed: str) -> Key:
    before, after = (list(map(str.strip, text.splitlines())) for text in (source, changed))
    head = _equal(before, after)
    before, after = before[head:], after[head:]
    tail = _equal(before[::-1], after[::-1])
    was, now = (" ".join(lines[: len(lines) - tail]) for lines in (before, after))
    return Key(where, was, now)


def _equal(before: list[str], after: list[str]) -> int:
    """How many lines from the first on are equal."""
    pairs = zip(before, after, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
