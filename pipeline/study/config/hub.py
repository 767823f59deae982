"""What is put into a folder for the Hugging Face hub."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.study.config.sections import Section, Words

HubRepository = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)
]


class Hub(Section):
    """What a folder for the Hugging Face hub holds; `snakemake hub_folder` makes it."""

    cells: Annotated[list[Words], Field(min_length=1)] = ["*"]
    """Cells by name, as `python -m pipeline cells` prints them. In a name, * stands for any text
    and ? for any character; a name without them may be of a cell off the grid."""
    repo: HubRepository = "your-name/your-saes"
    """Repository that the folder is for, owner/name; the model card shows how to load from it."""
    license: Words = ""
    """Licence of the autoencoders in the hub's spelling, such as apache-2.0. Empty: none is stated.
    The terms of language models and text are listed in any case."""
