"""How a study runs here: no number depends on it, and no specification has any of it.

It comes from a profile or from the command line: ``snakemake --config device=cpu``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ValidationError

from pipeline.study.sections import (
    ONCE,
    Bucket,
    Count,
    Folder,
    FolderOrNone,
    Name,
    Section,
    faults_of,
)


class Formats(Section):
    """What is written of figures beside their PNG and CSV, and of tables beside their CSV."""

    figures: Annotated[list[Literal["svg", "pdf"]], *ONCE] = []
    """svg, pdf: for papers and slides. Equal figures have equal files."""
    tables: Annotated[list[Literal["latex", "parquet"]], *ONCE] = []
    """parquet: every table with the types of its columns. latex: the columns that readers want."""


TrackerName = Literal["wandb", "tensorboard", "mlflow"]


class RunSettings(Section):
    """What a profile or the command line says beside a configuration."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: GPUs where there are some, else the CPU."""
    jobs_per_gpu: Count = 1
    """Jobs that may share one GPU; Snakemake starts one for each of ``--resources gpu=N``."""
    rates: Name = "h100"
    """Device of workflow/rates.yaml by which jobs ask a scheduler for time."""
    checkpoint_seconds: Count = 300
    """Time between two checkpoints of a cell: what a kill can cost of its training, at most."""
    results: Folder = "results"
    """Folder that holds the studies."""
    cache: FolderOrNone = ""
    """Folder of what studies share: models, text, tokens, activation stores, the models' losses.
    Empty: `cache` beside `results`."""
    stores: Bucket = ""
    """Where activation stores lie if not in the cache: ``s3://BUCKET/PREFIX``. All else stays in
    the cache. Endpoint, region and credentials come from the environment (AWS_...), never from
    here."""
    formats: Formats = Formats()
    """In which further formats figures and tables are written."""
    tracking: Annotated[list[TrackerName], *ONCE] = []
    """Trackers to which training curves go while cells train, and what is measured at the end. Each
    needs its package (`pip install '.[wandb]'`) and takes the rest from its own variables, such as
    WANDB_PROJECT and MLFLOW_TRACKING_URI. No cell is trained again because of them."""

    @property
    def places(self) -> dict[str, Any]:
        """Where a study and its cache lie, as far as that is not as usual."""
        return self.model_dump(include={"results", "cache", "stores"}, exclude_defaults=True)


def run_part(raw: Any) -> tuple[Any, RunSettings, list[str]]:
    """A parsed configuration without the settings of the run; these; their faults."""
    given = raw if isinstance(raw, dict) else {}
    settings = {name: value for name, value in given.items() if name in RunSettings.model_fields}
    rest = {name: value for name, value in given.items() if name not in settings}
    try:
        return rest if given else raw, RunSettings.model_validate(settings), []
    except ValidationError as error:
        return rest, RunSettings(), faults_of(error)
