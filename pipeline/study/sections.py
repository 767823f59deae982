"""What sections and specifications are built from: strict values, closed sections, clear errors."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from importlib.util import find_spec
from operator import not_
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from pipeline.jobs.json_files import json_argument
from sagsae.activations.storage import parse
from sagsae.autoencoders.registry import check_name

# Characters of the longest model, hookpoint or variant name: each becomes a folder.
NAME_LENGTH = 64


# The form of a variant's name of what another library has trained.
ELSEWHERE = re.compile(r"foreign-(?P<name>[a-z0-9][a-z0-9-]*)")


class CellNameError(ValueError):
    """A cell name that names nothing, or names something by another spelling."""


def lambda_tag(value: float) -> str:
    """The one spelling of a lambda in names: shortest ``%g`` form that reads back exactly.

    Raises:
        CellNameError: not positive and finite, or needs more than six significant digits.
    """
    tag = format(float(value), "g")
    if not 0 < float(value) < float("inf"):
        raise CellNameError(f"lambda {value!r} is not a positive finite number")
    if float(tag) != float(value):
        raise CellNameError(
            f"lambda {value!r} needs more than six significant digits: round it to {tag}"
        )
    return tag


# Latents that a dictionary may have.
LARGEST_WIDTH = 10**9

# Every reader of JSON keeps whole numbers up to here exact.
LARGEST = 2**53

# Papers whose claims this project judges, each a package of ``pipeline.claims``.
SA_GSAE = "sa_gsae"
PAPERS = (SA_GSAE,)

# Arrays that every activation store has beside its hookpoints.
RESERVED = ("token_id", "doc_id", "position")


class FieldFaults(ValueError):
    """Faults that concern several fields of a section, each with the field that is to change."""

    def __init__(self, faults: list[tuple[str, str]]):
        super().__init__("; ".join(f"{field}: {message}" for field, message in faults))
        self.faults = faults


def _plain_number(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(
            f"{value!r} is text, not a number: YAML reads 3e-3 as text; write 0.003 or 3.0e-3"
        )
    return value


def _ascending(values: list[Any]) -> list[Any]:
    if sorted(set(values)) != values:
        raise ValueError(f"{values} does not ascend: list each value once, the smallest first")
    return values


def _once(values: list[Any]) -> list[Any]:
    if twice := [value for i, value in enumerate(values) if value in values[:i]]:
        raise ValueError(f"{twice[0]!r} is listed twice: list each value once")
    return values


def _one_spelling(value: float) -> float:
    lambda_tag(value)  # raises ValueError where it has none
    return value


def _not_reserved(name: str) -> str:
    if reserved := {*RESERVED}.intersection(name.split("->")):
        raise ValueError(
            f"{reserved.pop()!r} is an array that every activation store has; name it otherwise"
        )
    return name


def _usable_path(value: str) -> str:
    if value.startswith("~"):
        raise ValueError("~ does not stand for a folder here: write the path in full")
    return value


def _bucket(value: str) -> str:
    if value:
        parse(value)  # raises ValueError, without the value: somebody may have put a key in it
    return value.rstrip("/")


def claims_module(name: str) -> str:
    """The module that has the claims of this name."""
    return f"pipeline.claims.{name}" if name in PAPERS else name


def _known_variant(name: str) -> str:
    return name if ELSEWHERE.fullmatch(name) else check_name(name)


def is_module(name: str) -> bool:
    """Whether Python finds a module of this name, without importing it; packages above it are."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _known_claims(name: str) -> str:
    if name and not is_module(claims_module(name)):
        raise ValueError(
            f"Python finds no module {name!r}; known are {', '.join(PAPERS)}, and a module of your "
            "own, installed or in a folder on PYTHONPATH"
        )
    return name


def _usable_folder(value: str) -> str:
    if found := re.search("[{}]", value):
        raise ValueError(f"holds {found.group()!r}, which means a wildcard in Snakemake's paths")
    return value


Number = Annotated[float, BeforeValidator(_plain_number), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
Fraction = Annotated[Number, Field(gt=0, lt=1)]
Lambda = Annotated[Positive, AfterValidator(_one_spelling)]
Natural = Annotated[int, Field(ge=0, le=LARGEST)]
Count = Annotated[int, Field(gt=0, le=LARGEST)]
Width = Annotated[int, Field(gt=0, le=LARGEST_WIDTH)]
Value = int | float | bool | str
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]*$", max_length=NAME_LENGTH)]
HookpointName = Annotated[
    str,
    Field(pattern="^[A-Za-z0-9][A-Za-z0-9_]*$", max_length=NAME_LENGTH),
    AfterValidator(_not_reserved),
]
# What autoencoders read, or what transcoders read and what they predict.
ReadHookpoint = Annotated[
    str,
    Field(
        pattern="^[A-Za-z0-9][A-Za-z0-9_]*(->[A-Za-z0-9][A-Za-z0-9_]*)?$", max_length=NAME_LENGTH
    ),
    AfterValidator(_not_reserved),
]
ModulePath = Annotated[
    str, Field(pattern=r"^([A-Za-z0-9_]|\{layer\})+(\.([A-Za-z0-9_]|\{layer\})+)*(:input)?$")
]
Variant = Annotated[str, Field(max_length=NAME_LENGTH), AfterValidator(_known_variant)]
PathOrNone = Annotated[str, Field(max_length=1000), AfterValidator(_usable_path)]
ClaimsName = Annotated[
    str, Field(pattern=r"^([A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?$"), AfterValidator(_known_claims)
]
FolderOrNone = Annotated[PathOrNone, AfterValidator(_usable_folder)]
HubRepository = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)
]
# Of a field that may be absent: None, of which files say nothing.
ABSENT: Any = Field(default=None, exclude_if=not_)
# Of a list: each value once, the smallest first.
Ascending = AfterValidator(_ascending)
# Of a list: each value at most once.
ONCE = AfterValidator(_once), Field(json_schema_extra={"uniqueItems": True})
# Of what a section restricts itself to; None for no restriction.
Names = Annotated[list[str], Field(min_length=1), *ONCE] | None
Bucket = Annotated[str, Field(max_length=1000), AfterValidator(_bucket)]
FilePath = Annotated[PathOrNone, Field(min_length=1)]
Folder = Annotated[FolderOrNone, Field(min_length=1)]


# Keys that are easily written one section off -> where they belong.
BELONGS = {
    **dict.fromkeys(("start_token", "d_model", "layer", "layers"), "an entry of models"),
    **dict.fromkeys(("context_length", "heldout_fraction"), "text"),
    **dict.fromkeys(("train_rows", "heldout_rows", "max_norm_ratio"), "dump"),
    **dict.fromkeys(("tokens", "batch_size", "learning_rate", "dead_window_tokens"), "training"),
    **dict.fromkeys(
        ("variant", "lambdas", "ks", "seeds", "width", "expansion"), "an entry of grid"
    ),
    **dict.fromkeys(("matched_l0", "candidate", "baseline"), "an entry of comparisons"),
}


class Section(BaseModel):
    """Base of every section: unknown keys are errors and values never change after loading.

    Values are taken as they are: true is no number, 2.0 no count, and no number is text.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )

    @model_validator(mode="wrap")
    @classmethod
    def _names_known_keys(cls, values: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate(values)
        except ValidationError as error:
            faults: Any = error.errors()
            for fault in faults:
                if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
                    unknown = ValueError(cls._unknown(fault["loc"][0]))
                    fault |= {"type": "value_error", "ctx": {"error": unknown}}
            raise ValidationError.from_exception_data(error.title, faults) from None

    @classmethod
    def _unknown(cls, key: Any) -> str:
        """What is said of a key that the section does not have."""
        nearest = get_close_matches(str(key), cls.model_fields, n=1)
        meant = f"did you mean {nearest[0]}; " if nearest else ""
        if key in BELONGS:
            meant = f"{key} belongs to {BELONGS[key]}; "
        return f"unknown key: {meant}allowed are {', '.join(cls.model_fields)}"


class ConfigError(ValueError):
    """A configuration that cannot be run; the message lists every fault with its path."""


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
    shown = re.sub(r"//[^/@\s]*@", "//***@", json.dumps(value, default=str))  # credentials in a URL
    return f" (given: {shown if len(shown) <= 200 else shown[:200] + '...'})"


class Spec(Section):
    """Base of every specification, which a stage is given on its command line."""

    revision: int
    """Of the stage's code. Raise its default when the output changes for the same specification."""

    @classmethod
    def argument(cls, text: str) -> Self:
        """From JSON text, or from the file named after an @, see ``json_argument``.

        Raises:
            ConfigError: Every fault with its path.
            ValueError: not JSON, or a damaged file.
        """
        try:
            return cls.model_validate(json_argument(text))
        except ValidationError as error:
            raise ConfigError(describe(error, cls.__name__)) from None
