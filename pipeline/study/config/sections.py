"""What every section of a configuration is built from: strict values, closed sections."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from pathlib import PurePosixPath
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

from pipeline.study.config.spelling import NAME_LENGTH, lambda_tag
from sagsae.autoencoders.registry import check_name
from sagsae.storage import parse

LARGEST = 2**53
"""Every reader of JSON keeps whole numbers up to here exact."""

RESERVED = ("token_id", "doc_id", "position")
"""Arrays that every activation store has beside its hookpoints."""


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


def _plain_value(value: Any) -> Any:
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return _writable(value)
        return _plain_number(value)
    if not isinstance(value, bool | int | float):
        raise ValueError("give a number, true, false or text")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a finite number")
    if abs(value) > LARGEST and isinstance(value, int):
        raise ValueError(f"whole numbers end at {LARGEST}")
    return value


def _ascending(values: list[Any]) -> list[Any]:
    if sorted(set(values)) != values:
        raise ValueError(f"{values} does not ascend: list each value once, the smallest first")
    return values


def _one_spelling(value: float) -> float:
    lambda_tag(value)  # raises ValueError where it has none
    return value


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"{name!r} is an array that every activation store has; name it otherwise")
    return name


def _not_endless(name: str) -> str:
    if re.search(r"(.+)\1{19}$", name):
        raise ValueError("ends in 20 repetitions, which Snakemake takes for an endless recursion")
    return name


def _writable(value: str) -> str:
    if re.search("[\ud800-\udfff]", value):
        raise ValueError("holds half of a surrogate pair, which no file can hold")
    return value


def _regular_expression(value: str) -> str:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"no regular expression: {error}") from None
    return value


def _usable_path(value: str) -> str:
    if found := re.search(r"[\x00-\x1f\x7f]", value):
        raise ValueError(f"holds the control character {found.group()!r}")
    if value.startswith("~"):
        raise ValueError("~ does not stand for a folder here: write the path in full")
    return value


def _bucket(value: str) -> str:
    if value:
        parse(value)  # raises ValueError, without the value: somebody may have put a key in it
    return value.rstrip("/")


def _usable_folder(value: str) -> str:
    if found := re.search("[{}]", value):
        raise ValueError(f"holds {found.group()!r}, which means a wildcard in Snakemake's paths")
    if value.startswith("-"):
        raise ValueError("begins with '-' like an option of a command: write ./ before it")
    if any(len(part.encode()) > 255 for part in PurePosixPath(value).parts):
        raise ValueError("has a part of more than 255 bytes, which no file system holds")
    return value


Number = Annotated[float, BeforeValidator(_plain_number), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
Fraction = Annotated[Number, Field(gt=0, lt=1)]
Lambda = Annotated[Positive, AfterValidator(_one_spelling)]
Natural = Annotated[int, Field(ge=0, le=LARGEST)]
Count = Annotated[int, Field(gt=0, le=LARGEST)]
Width = Annotated[int, Field(gt=0, le=10**9)]
Value = Annotated[int | float | bool | str, BeforeValidator(_plain_value)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Annotated[
    str,
    Field(pattern="^[a-z0-9][a-z0-9-]*$", max_length=NAME_LENGTH),
    AfterValidator(_not_endless),
]
HookpointName = Annotated[
    str,
    Field(pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=NAME_LENGTH),
    AfterValidator(_not_endless),
    AfterValidator(_not_reserved),
]
ModulePath = Annotated[
    str, Field(pattern=r"^([A-Za-z0-9_]|\{layer\})+(\.([A-Za-z0-9_]|\{layer\})+)*$")
]
Variant = Annotated[
    str,
    Field(max_length=NAME_LENGTH),
    AfterValidator(check_name),
    AfterValidator(_not_endless),
]
Words = Annotated[str, AfterValidator(_writable)]
Pattern = Annotated[Words, Field(min_length=1), AfterValidator(_regular_expression)]
PathOrNone = Annotated[Words, Field(max_length=1000), AfterValidator(_usable_path)]
FolderOrNone = Annotated[PathOrNone, AfterValidator(_usable_folder)]
Names = Annotated[list[str], Field(min_length=1)] | None
"""Of what a section restricts itself to; None for no restriction."""
Ascending = AfterValidator(_ascending)
"""Of a list: each value once, the smallest first."""
Bucket = Annotated[str, Field(max_length=1000), AfterValidator(_bucket)]
FilePath = Annotated[PathOrNone, Field(min_length=1)]
Folder = Annotated[FolderOrNone, Field(min_length=1)]


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
    def _unknown(cls, key: object) -> str:
        """What is said of a key that the section does not have."""
        nearest = get_close_matches(str(key), cls.model_fields, n=1)
        meant = f"did you mean {nearest[0]}; " if nearest else ""
        return f"unknown key: {meant}allowed are {', '.join(cls.model_fields)}"
