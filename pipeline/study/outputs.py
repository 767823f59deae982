"""Every file name under ``results/``; no other module has one."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

from pipeline.study.cell import PATTERN, Cell
from sagsae.exchange import OWN_WEIGHTS

Split = Literal["train", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "heldout")

METRICS, WEIGHTS, TRAINING = "metrics.json", OWN_WEIGHTS, "training.json"

# Files of a cell's folder.
LATENT_TENSORS, CURVE = "latents.safetensors", "curve.parquet"

# Folder of a cell for what later jobs reuse; the record of the weights in it; unfinished ones.
STATE, TRAINED, CHECKPOINT = ".state", "trained.json", "checkpoint-{key}.safetensors"

# A table; `pipeline.analysis.table` says which there are.
TABLE = "{name}.csv"

# Folder of what trackers keep on disk; MLflow's database in it.
TRACKING, MLFLOW = "tracking", "mlflow.db"

REPORT = "report.html"

# Folder of the latent browser; its page; the folder of the cells in it.
BROWSER, BROWSER_PAGE, BROWSER_DATA = "browser", "index.html", "data"

# What a cell of the latent browser is, written last; the scripts that hold it lie beside it.
SHOWN_CELL = "cell.json"

# What a job makes that looks into cells: of a section, and of the browser.
LOOK, SHOWN = "{kind}/{look}.json", f"{{kind}}/{BROWSER_DATA}/{{look}}/{SHOWN_CELL}"

# Files of a published study beside its results.
CONFIGURATION, ENVIRONMENT, README = "configuration.json", "environment.json", "README.md"

# Where a study has its records of what lies in the cache.
RECORDS = (
    "assets/*/asset.json",
    "assets/*/documents.json",
    "tokens/*.json",
    "manifests/*.json",
    "baselines/*.json",
)

SYNTHETIC = "synthetic"

RUNS = f"{SYNTHETIC}/runs"

# Folder of what follows from the cells that are there while others are missing.
PREVIEW = "preview"

# Folder of the measures of a study; what analysis must know of it; the measures of one kind; the
# training curves that figures draw.
MEASURES, SCOPE, MEASURED, CURVES = "measures", "study.json", "{kind}.jsonl", "curves.parquet"


class Outputs:
    """Where everything lies below the folder of one study; wildcards where nothing is given."""

    def __init__(self, root: PurePath) -> None:
        self.root = root

    def path(self, *parts: str) -> str:
        return str(self.root.joinpath(*parts))

    @property
    def run_lock(self) -> str:
        """Held while Snakemake runs."""
        return self.path(".run.lock")

    def shared_spec(self, name: str, digest: str) -> str:
        return self.path("specs", f"{name}-{digest}.json")

    def asset(self, model: str = "{model}") -> str:
        return self.path("assets", model, "asset.json")

    @property
    def documents(self) -> str:
        return self.path("assets", "text", "documents.json")

    def tokens(self, model: str = "{model}", split: str = "{split}") -> str:
        return self.path("tokens", f"{model}-{split}.json")

    def manifest(self, model: str = "{model}", split: str = "{split}") -> str:
        return self.path("manifests", f"{model}-{split}.json")

    def baselines(self, model: str = "{model}") -> str:
        return self.path("baselines", f"{model}.json")

    @property
    def cells_root(self) -> str:
        return self.path("cells")

    def cell_file(self, cell: Cell | None, name: str) -> str:
        return self.path("cells", cell.path if cell else PATTERN, name)

    def metrics(self, cell: Cell | None = None) -> str:
        return self.cell_file(cell, METRICS)

    def table(self, name: str = "") -> str:
        """A table; their folder without a name."""
        return self.path("tables", name)

    def figure(self, name: str = "{figure}", suffix: str = "png") -> str:
        return self.path("figures", f"{name}.{suffix}")

    @property
    def browser_page(self) -> str:
        return self.path(BROWSER, BROWSER_PAGE)

    def synthetic_run(self, protocol: str = "{protocol}", seed: int | str = "{seed}") -> str:
        return self.path(RUNS, f"{protocol}_seed{seed}.json")

    @property
    def report(self) -> str:
        return self.path(REPORT)

    def log(self, *parts: str) -> str:
        return self.path("logs", *parts) + ".log"
