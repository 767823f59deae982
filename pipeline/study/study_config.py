"""What a study may ask for: every key of a configuration file, its default and its meaning.

One pydantic model checks the whole file and reports every error at once with its path. It imports
neither torch nor transformers, so the Snakefile can read it in a fraction of a second.
"""

from __future__ import annotations

from operator import not_
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from pipeline.study.browser import Browser
from pipeline.study.dial import Dial
from pipeline.study.grid import Comparison, GridEntry
from pipeline.study.looks import Look
from pipeline.study.models import Model, like_others
from pipeline.study.probe import Probe
from pipeline.study.recipes import Recipe
from pipeline.study.replaced import Replaced
from pipeline.study.sections import (
    ABSENT,
    ONCE,
    ClaimsName,
    ConfigError,
    Count,
    FieldFaults,
    FolderOrNone,
    Fraction,
    HubRepository,
    Name,
    Natural,
    Number,
    Positive,
    ReadHookpoint,
    Section,
    faults_of,
)
from pipeline.study.signs import Signs
from pipeline.study.sources import (
    AnyText,
    MixedText,
    NamedSource,
    RandomText,
    TextSource,
    source_faults,
)
from pipeline.study.synthetic import Synthetic
from pipeline.study.training import Training
from sagsae.files import MAX_FILES, canonical_json, write_atomic

DEFAULT_CONFIG = Path(__file__).resolve().parents[2] / "workflow" / "configs" / "local.yaml"


class _OnceLoader(yaml.SafeLoader):
    """Reads YAML as PyYAML does, which keeps the last of two equal keys, and refuses them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if twice := [key for i, key in enumerate(keys) if key in keys[:i]]:
            place = f"line {node.start_mark.line + 1}"
            raise yaml.YAMLError(f"{place}: key {twice[0]!r} is given twice")
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> Any:
    """Parse one YAML file.

    Raises:
        ConfigError: it is not there, no YAML, or gives a key twice; the message names the file.
    """
    try:
        loader = _OnceLoader(path.read_bytes())
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {error}") from None


class Packing(Section):
    """How documents are split and packed into contexts."""

    context_length: Annotated[int, Field(ge=8, le=2**20)] = 128
    """Tokens per context, the start token included."""
    heldout_fraction: Annotated[Number, Field(ge=1e-6, le=0.5)] = 0.1
    """Share of the documents kept apart for evaluation. No document is in both splits."""
    seed: Natural = 0
    """Seed of the permutation of the documents."""


class Text(Packing):
    """The documents, how they are split and how they are packed into contexts."""

    source: TextSource | None = ABSENT
    """Where the documents come from. Give this or sources."""
    sources: list[NamedSource] = Field(default_factory=list, exclude_if=not_)
    """Several sources, each with a cap. Their documents are permuted together, so that every
    source is in both splits; what is measured is shown for each of them, too."""

    @model_validator(mode="after")
    def _one_way(self) -> Text:
        if faults := source_faults(self.source, self.sources):
            raise FieldFaults(faults)
        return self

    @property
    def names(self) -> list[str]:
        """Names of the sources where there are several."""
        return [part.name for part in self.sources] if len(self.sources) > 1 else []

    @property
    def whole(self) -> AnyText:
        """The text, as the stage that fetches it gets it."""
        return self.source or MixedText(sources=self.sources, seed=self.seed)

    @property
    def by_path(self) -> dict[str, TextSource]:
        """Its sources, by their path in a configuration."""
        several = {f"text.sources.{i}.source": part.source for i, part in enumerate(self.sources)}
        return {"text.source": self.source} if self.source else several


# That of a study of known features, which nothing reads.
NO_TEXT = Text(source=RandomText(kind="random", documents=1))


class StoreRows(Section):
    """Which rows an activation store has, and in which order."""

    rows_per_block: Count = 8192
    """Rows that are permuted and committed together."""
    rows_per_chunk: Count = 1024
    """Rows per Zarr chunk; divides rows_per_block. Aim at 8 MiB per chunk for large stores."""
    max_norm_ratio: Positive = 10.0
    """Tokens whose norm exceeds this many medians at any hookpoint are left out."""
    slack: Fraction = 0.02
    """Share of a block's tokens that the drop rule may take before the dump stops."""
    dtype: Literal["bfloat16", "int8"] = Field(
        default="bfloat16", exclude_if=lambda name: name == "bfloat16"
    )
    """As what rows for training are kept. int8, with a scale for each row, takes half the disk;
    held-out rows are bfloat16 in any case."""


class Dump(StoreRows):
    """The activation store."""

    profile: Literal["plain", "disk"] = "plain"
    """plain: uncompressed; disk: byte shuffle and zstd level 1, 30 % smaller, but slower to write
    and to read. Both carry crc32c."""
    sharded: bool = Field(default=False, exclude_if=not_)
    """Keep each block of a hookpoint in one file. Stores of more than 50,000 chunks need it."""
    train_rows: Count
    """Tokens stored for training; rounded down to whole blocks."""
    heldout_rows: Count
    """Tokens stored for evaluation; rounded down to whole blocks."""

    @model_validator(mode="after")
    def _whole_chunks(self) -> Dump:
        block, faults = self.rows_per_block, []
        if block % self.rows_per_chunk:
            message = f"rows_per_block {block} is not a multiple of it ({self.rows_per_chunk})"
            faults.append(("rows_per_chunk", message))
        for split in ("train_rows", "heldout_rows"):
            if (rows := getattr(self, split)) < block:
                faults.append((split, f"{rows} is less than one block of {block} rows"))
            if not self.sharded and (chunks := rows // self.rows_per_chunk) > MAX_FILES:
                message = f"{split} make {chunks} files per hookpoint, over {MAX_FILES}: set it"
                faults.append(("sharded", message))
        if faults:
            raise FieldFaults(faults)
        return self


class Evaluation(Section):
    """What is measured on the held-out split."""

    lr_contexts: Count = 64
    """Held-out contexts over which Loss Recovered is measured."""


class Hub(Section):
    """What a folder for the Hugging Face hub holds; `snakemake hub_folder` makes it."""

    cells: Annotated[list[str], Field(min_length=1), *ONCE] = ["*"]
    """Cells by name, as `python -m pipeline cells` prints them. In a name, * stands for any text
    and ? for any character; a name without them may be of a cell off the grid."""
    repo: HubRepository = "your-name/your-saes"
    """Repository that the folder is for, owner/name; the model card shows how to load from it."""
    license: str = ""
    """Licence of the autoencoders in the hub's spelling, such as apache-2.0. Empty: none is stated.
    The terms of language models and text are listed in any case."""


class StudyConfig(Section):
    """A configuration file."""

    study: Name
    """Name of the study; its outputs lie in results/<study>/."""
    note: str = ""
    """What readers of the report must know before they read a number."""
    claims: ClaimsName = Field(default="", exclude_if=not_)
    """What was claimed before the study ran, and is judged under each recipe: sa_gsae, or a module
    of your own. Empty: nothing."""
    reference: FolderOrNone = ""
    """Folder of a published study whose verdicts are shown beside this study's own claims. A
    relative path is of the checkout. Empty: none."""
    models: Annotated[list[Model], BeforeValidator(like_others), Field(min_length=1)]
    """The language models, or rows of known features in their place."""
    hookpoints: Annotated[list[ReadHookpoint], Field(min_length=1), *ONCE]
    """Hookpoints dumped from every model: mlp_in, mlp_out, mlp_added, attn, attn_added, resid, or
    names that the models define. With an arrow, as in ``mlp_in->mlp_added``: what transcoders read
    and what they predict."""
    text: Text = NO_TEXT
    """Documents, split and packing. Rows of known features need none."""
    dump: Dump
    """Sizes and layout of the activation store."""
    grid: Annotated[list[GridEntry], Field(min_length=1)]
    """The cells to train, block by block."""
    training: Training
    """The default recipe: that of every cell whose grid entry names no other."""
    recipes: dict[Name, Recipe] = Field(default_factory=dict, exclude_if=not_)
    """Further recipes by name. No table, figure or claim mixes the cells of two."""
    evaluation: Evaluation = Evaluation()
    """What is measured."""
    comparisons: Annotated[list[Comparison], *ONCE] = Field(default_factory=list)
    """Pairs of variants that the tables compare."""
    dial: Dial | None = ABSENT
    """Steering with single latents; none when absent."""
    probe: Probe | None = ABSENT
    """Sparse probing and feature absorption; none when absent."""
    signs: Signs | None = ABSENT
    """Consistency over seeds, opposite pairs, poles; none when absent."""
    replaced: Replaced | None = ABSENT
    """All layers of a model replaced at once; none when absent."""
    browser: Browser | None = ABSENT
    """Pages on which the latents of some cells can be looked at; none when absent."""
    hub: Hub | None = ABSENT
    """What `snakemake hub_folder` puts into a folder for the Hugging Face hub; every cell when
    absent."""
    synthetic: Synthetic = Synthetic()
    """Protocols on data whose features are known; made by `snakemake synthetic` alone."""


# Name of each section whose jobs look into trained cells -> its type.
LOOKS: dict[str, type[Look]] = {
    name: kind
    for name, field in StudyConfig.model_fields.items()
    for kind in get_args(field.annotation)
    if isinstance(kind, type) and issubclass(kind, Look)
}


def main(out: Path, /) -> None:
    """Write the schema.

    Args:
        out: schema file to write
    """
    write_atomic(out, canonical_json(StudyConfig.model_json_schema()))


def sound_part(raw: Any) -> tuple[StudyConfig, set[str], list[str]]:
    """What is sound of a parsed configuration.

    Returns:
        The configuration, without the sections that have faults; the names of the others; the
        faults, each with its path.
    """
    fields = StudyConfig.model_fields
    try:
        return StudyConfig.model_validate(raw), set(fields), []
    except ValidationError as error:
        faulty = {str(item["loc"][0]) for item in error.errors() if item["loc"]}
        faults = faults_of(error)
    given = raw if isinstance(raw, dict) else {}
    read: dict[str, Any] = {}
    for name in given.keys() & fields.keys() - faulty:
        kind: Any = Annotated[fields[name].annotation, fields[name]]
        read[name] = TypeAdapter(kind).validate_python(given[name])
    defaults = {name for name, field in fields.items() if not field.is_required()} - given.keys()
    return StudyConfig.model_construct(**read), read.keys() | defaults - faulty, faults
