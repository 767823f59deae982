"""metrics.json of one cell: the schema that evaluation writes and every later stage reads.

A new metric is a field here that has None as its default, an attribute of that name of
``sagsae.evaluation.metrics.ReconstructionMetrics``, and the name in ``MEASURED`` of
``pipeline.cells.evaluate``; the tables need nothing else. A file that lacks the field is older, and
the metric was not measured. Raise ``SCHEMA_VERSION`` with every new field; a program that does not
know the field says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError, model_validator

from pipeline.jobs.json_files import read_json
from pipeline.study.cell import Cell
from pipeline.study.outputs import METRICS
from pipeline.study.sections import Count, Natural, Section, describe

Measure = TypeVar("Measure", bound=Section)

# Version 1 had no ``schema_version``, version 2 no ``sources``. Version 3 named no software and
# had no ``threshold_off``: a threshold that was off counted as a collapse. Version 4 had no ``kl``,
# version 5 no ``jumped``, version 6 no ``linear_r2``, version 7 no truth,
# version 8 no ``features_found``.
SCHEMA_VERSION = 9
# What is measured where the features are known -> its name in words.
TRUTH = {
    "f1": "F1",
    "mcc": "MCC",
    "features_found": "Features found",
    "uniqueness": "Uniqueness",
    "shrinkage": "Shrinkage",
    "true_l0": "True L0",
}
# A metric that cells of some kind alone have.
_SOME_HAVE: Any = Field(default=None, exclude_if=lambda value: value is None)

Finite = Annotated[float, Field(allow_inf_nan=False)]

NonNegative = Annotated[Finite, Field(ge=0)]

Share = Annotated[Finite, Field(ge=0, le=1)]

# At 0, 2, ..., 100 %, six significant digits; empty where there is nothing to rank.
Quantiles = list[Finite]


class MetricsError(ValueError):
    """Metrics files that cannot be used; the message names every one of them."""


class TrainingRecord(Section):
    """How the cell was trained and at what cost."""

    steps: Natural
    tokens: Natural
    seconds: NonNegative
    tokens_per_second: NonNegative
    data_wait_seconds: NonNegative
    peak_memory_mb: NonNegative
    device: str
    threads: Count
    matmul_dtype: str


class MadeFrom(Section):
    """Digests of everything the numbers depend on, and the software that made them."""

    train: str
    evaluate: str
    store: str
    weights_sha256: str
    latents_sha256: str
    """Of latents.safetensors, which is written before the metrics."""
    trained_with: dict[str, str] = Field(default_factory=dict)
    """Versions of torch and sagsae that trained the weights; empty if the weights do not say."""
    evaluated_with: dict[str, str] = Field(default_factory=dict)
    """Versions of torch, transformers and sagsae that measured; version 3 does not say."""


class CensusRecord(Section):
    """Which latents fire with both signs. Top latents are those of the live ones that contribute
    most to the reconstructions, by their sum of z^2 over tokens. Null where no latent lives."""

    minority_share_quantiles: Quantiles
    """Of min(n+, n-) / (n+ + n-) over live latents."""
    top1_bipolar_fraction: Share | None
    """Share of the top 1 % that fire with both signs."""
    top10_bipolar_fraction: Share | None
    top1_minority_share: Share | None
    """Mean minority share of the top 1 %."""
    top10_minority_share: Share | None


class SlopesRecord(Section):
    """Calibration slopes on one sign over the latents that fire with it; 1 is no shrinkage."""

    latents: Natural
    """How many there are."""
    mean: Finite | None
    median: Finite | None
    quantiles: Quantiles


class CalibrationRecord(Section):
    """Slopes of the residual's coefficient on the activation, by its sign."""

    positive: SlopesRecord
    negative: SlopesRecord


class SourceRecord(Section):
    """What is measured on one of several sources of text. Null where a ratio has no denominator,
    or no token of the source was among those measured."""

    train_rows: Natural
    """Rows of the training store."""
    train_share: Share
    """The same, as a share of the store."""
    rows: Natural
    """Held-out rows."""
    share: Share
    l0: NonNegative | None
    r2: Annotated[Finite, Field(le=1)] | None
    """1 - sse / sst, where sst is about the mean of the source's own held-out rows."""
    r2_common: Annotated[Finite, Field(le=1)] | None
    """The same about the mean of the held-out rows of all sources, as in the cell's own R2."""
    sse: NonNegative
    sst: NonNegative
    ce_tokens: Natural = 0
    """Predicted tokens of the source among those of Loss Recovered."""
    ce_sae: NonNegative | None = None
    ce_clean: NonNegative | None = None
    ce_zero: NonNegative | None = None
    ce_mean: NonNegative | None = None
    loss_recovered: Finite | None = None
    loss_recovered_mean: Finite | None = None


class CellMetrics(Section):
    """One cell on the held-out split. A ratio is null where its denominator is zero."""

    schema_version: Count = 1
    """Of the program that wrote the file."""
    cell: Cell
    d_model: Count
    parameters: Count
    parameters_per_latent: Count
    break_even_share: NonNegative | None
    """Share of latents that must serve both signs for the variant to cost no more parameters than
    Gated; null for variants with one side."""
    l0: NonNegative
    """Mean count of latents that are not zero, per token."""
    r2: Annotated[Finite, Field(le=1)]
    """1 - sse / sst."""
    linear_r2: Finite | None = _SOME_HAVE
    """Of a transcoder, that of the best linear map of its place on the same rows."""
    f1: Share | None = _SOME_HAVE
    """Of latents as detectors of known features, see ``sagsae.judged``; so are the next five."""
    mcc: Share | None = _SOME_HAVE
    features_found: Natural | None = _SOME_HAVE
    uniqueness: Share | None = _SOME_HAVE
    shrinkage: NonNegative | None = _SOME_HAVE
    true_l0: NonNegative | None = _SOME_HAVE
    sse: NonNegative
    sst: NonNegative
    dead_fraction: Share
    """Latents that never fire over eval_tokens, as a share of the width."""
    dead_latents: Natural
    eval_tokens: Count
    loss_recovered: Finite | None
    """(ce_zero - ce_sae) / (ce_zero - ce_clean); null where it is noise, see lr_noisy."""
    loss_recovered_mean: Finite | None
    """The same against mean ablation."""
    ce_sae: NonNegative | None = None
    ce_clean: NonNegative | None = None
    ce_zero: NonNegative | None = None
    ce_mean: NonNegative | None = None
    """Cross entropies in nats per token; null where there is no language model."""
    ce_tokens: Natural = 0
    kl: Finite | None = None
    """Mean divergence of the model's own predictions from those with reconstructions, nats per
    token; null where the model's head is not linear, and in files before version 5."""
    lr_noisy: bool
    """ce_zero - ce_clean is too small for Loss Recovered to mean anything."""
    bipolar_fraction: Share | None
    """Share of live latents that fire with both signs."""
    bipolar_firing_share: Share | None
    """The same, weighted by firing."""
    census: CensusRecord
    calibration: CalibrationRecord
    sources: dict[str, SourceRecord] = Field(default_factory=dict)
    """By name, where the text has several sources."""
    collapsed: list[str]
    """Why the cell counts as collapsed; empty when it does not."""
    jumped: Natural | None = None
    """First logged step whose error is 1.5 times that of the one before; null where there is none,
    and in files before version 6. This is no collapse."""
    threshold_off: bool = False
    """The threshold that was fitted after training misses the k asked for; training.json has the L0
    that it gives, under ``calibration``. This is no collapse."""
    training: TrainingRecord
    made_from: MadeFrom

    @property
    def loss_added(self) -> float | None:
        """Nats a token that the language model loses by reconstructions; None without one."""
        if self.ce_sae is None or self.ce_clean is None:
            return None
        return self.ce_sae - self.ce_clean

    @model_validator(mode="before")
    @classmethod
    def _no_share_of_noise(cls, values: Any) -> Any:
        """Files before version 5 give Loss Recovered even where it is noise."""
        if isinstance(values, dict) and values.get("lr_noisy") is True:
            return values | {"loss_recovered": None, "loss_recovered_mean": None}
        return values


def read_measure(kind: type[Measure], path: Path, maker: str) -> Measure:
    """Read and validate one file of measures.

    Args:
        kind: Its schema.
        path: The file.
        maker: What makes it, for the message if it is missing.

    Raises:
        MetricsError: missing, not JSON, or not of this schema; the message names the file.
    """
    try:
        return kind.model_validate(read_json(path))
    except FileNotFoundError:
        raise MetricsError(f"{path}: no such file: {maker}") from None
    except ValidationError as error:
        raise MetricsError(describe(error, str(path))) from None
    except ValueError as error:
        raise MetricsError(str(error)) from None


def read_metrics(path: Path, cell: Cell) -> CellMetrics:
    """Read and validate the metrics of one cell.

    Raises:
        MetricsError: as `read_measure`, or measured on another cell; the message names the file.
    """
    metrics = read_measure(CellMetrics, path, "run snakemake to evaluate the cell")
    if metrics.cell != cell:
        raise MetricsError(
            f"{path}: metrics of another cell: the file says {metrics.cell.path}, "
            f"its folder {cell.path}; delete it and evaluate again"
        )
    return metrics


def read_all(root: Path, cells: Iterable[Cell]) -> dict[Cell, CellMetrics]:
    """Metrics of many cells at ``<root>/<cell path>/metrics.json``; all faults at once."""
    found, faults = {}, []
    for cell in sorted(cells):
        try:
            found[cell] = read_metrics(root / cell.path / METRICS, cell)
        except MetricsError as error:
            faults.append(str(error))
    if faults:
        raise MetricsError(f"{len(faults)} unusable metrics file(s)\n" + "\n".join(faults))
    return found
