"""What every section of a configuration is built from: strict numbers, closed sections."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NAME = r"^[a-z0-9][a-z0-9-]*$"


def _plain_number(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(
            f"{value!r} is text, not a number: YAML reads 3e-3 as text; write 0.003 or 3.0e-3"
        )
    return value


Number = Annotated[float, BeforeValidator(_plain_number), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
Fraction = Annotated[Number, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0, strict=True)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Section(BaseModel):
    """Base of every section: unknown keys are errors and values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
