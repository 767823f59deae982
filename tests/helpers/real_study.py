"""A small study made by the real stages, up to its cells, and what makes a file of it again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.cells.run import main as run_cell
from pipeline.data import fetch as assets
from pipeline.data.baselines import main as run_baselines
from pipeline.data.dump import main as dump
from pipeline.data.tokenise import main as tokenise
from pipeline.jobs.cache import STORES, entry_folder
from pipeline.jobs.json_files import read_json
from pipeline.study.cell import Cell
from pipeline.study.outputs import CURVE, LATENT_TENSORS, SPLITS, TRAINING, WEIGHTS
from pipeline.study.study import Study
from pipeline.tools.verify import Fault
from sagsae.files import canonical_json, read_signed_json

_SIZES = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4}
CONFIG: dict[str, Any] = {
    "study": "small",
    "device": "cpu",
    "models": [
        {
            "name": "m",
            "source": {
                "kind": "random",
                "architecture": "gpt_neox",
                "parameters": _SIZES | {"intermediate_size": 32},
            },
            "d_model": 32,
            "layer": 1,
        }
    ],
    "hookpoints": ["mlp_out", "resid"],
    "text": {
        "source": {"kind": "random", "documents": 150, "words": 20},
        "context_length": 16,
        "heldout_fraction": 0.5,
    },
    "dump": {
        "train_rows": 512,
        "heldout_rows": 256,
        "rows_per_block": 256,
        "rows_per_chunk": 64,
        "slack": 0.1,
    },
    "grid": [{"variant": "sagsae_tied", "width": 24, "lambdas": [0.1, 0.2]}],
    "training": {"tokens": 1024, "batch_size": 128},
    "evaluation": {"lr_contexts": 4},
}
COSTS = ("seconds", "tokens_per_second", "data_wait_seconds", "peak_memory_mb")
"""What no two runs of training share."""


def configuration(folder: Path) -> dict[str, Any]:
    """The study's configuration with its cache in its own folder below ``folder``."""
    return CONFIG | {"results": str(folder), "cache": str(folder / "small/cache")}


CELL = Cell(model="m", hookpoint="resid", variant="sagsae_tied", width=24, lam=0.1, seed=0)


@dataclass(frozen=True)
class WholeStudy:
    """A study whose stages have all run."""

    study: Study

    @property
    def root(self) -> Path:
        return Path(self.study.root)

    def stores(self, split: str) -> Path:
        """The folder of the store of a split."""
        return next((self.cache / STORES).glob(f"m-{split}-*"))

    @property
    def cache(self) -> Path:
        return Path(self.study.cache)

    def entry(self, record: str) -> Path:
        """The cache's folder that a record names."""
        return entry_folder(Path(record), read_json(record))

    def cell(self, cell: Cell = CELL) -> Path:
        """The folder of a cell."""
        return Path(self.study.metrics(cell)).parent

    def make(self, target: str) -> None:
        """What ``snakemake --force target`` does."""
        study, path = self.study, Path(target)
        outputs = [path]
        if path.name == "metrics.json":
            outputs += [path.with_name(name) for name in (WEIGHTS, LATENT_TENSORS, CURVE, TRAINING)]
        for output in outputs:
            output.unlink(missing_ok=True)
        if target == study.asset("m"):
            source = study.models["m"].source.model_dump()
            assets.main(study.asset_spec("m"), source, self.cache, path)
        elif target == study.documents:
            source = study.config.text.whole.model_dump()
            assets.main(study.text_spec(), source, self.cache, path)
        elif target == study.baselines("m"):
            run_baselines(**self._baseline_arguments(path))
        elif path.name == "metrics.json":
            run_cell(**self._cell_arguments(path))
        else:
            split = path.stem.removeprefix("m-")
            assert split in SPLITS, f"nothing makes {target}"
            (self._tokenise if path.parent.name == "tokens" else self._dump)(split, path)

    def make_all_but_cells(self) -> None:
        """Run the stages before the cells."""
        study = self.study
        for target in (study.asset("m"), study.documents):
            self.make(target)
        for name in (study.tokens, study.manifest):
            for split in SPLITS:
                self.make(name("m", split))
        self.make(study.baselines("m"))

    def mend(self, fault: Fault) -> None:
        """Do what a fault says."""
        if fault.delete:
            shutil.rmtree(fault.delete)
        self.make(str(fault.file))

    def _tokenise(self, split: str, out: Path) -> None:
        study, asset = self.study, Path(self.study.asset("m"))
        tokenise(study.token_spec("m", split), asset, Path(study.documents), self.cache, out)

    def _dump(self, split: str, out: Path) -> None:
        study = self.study
        dump(
            study.dump_spec("m", split),
            asset=Path(study.asset("m")),
            tokens=Path(study.tokens("m", split)),
            calibration_tokens=Path(study.tokens("m", "train")),
            cache=self.cache,
            device="cpu",
            out=out,
            stores=study.run.stores,
        )

    def _baseline_arguments(self, out: Path) -> dict[str, Any]:
        study = self.study
        return {
            "spec": study.baseline_spec("m"),
            "asset": Path(study.asset("m")),
            "tokens": Path(study.tokens("m", "heldout")),
            "train_manifest": Path(study.manifest("m", "train")),
            "heldout_manifest": Path(study.manifest("m", "heldout")),
            "cache": self.cache,
            "out": out,
            "device": "cpu",
        }

    def _cell_arguments(self, out: Path) -> dict[str, Any]:
        study = self.study
        cell = Cell.from_path(out.parent.relative_to(study.path("cells")).as_posix())
        return {
            "train_spec": study.train_spec(cell),
            "evaluate_spec": study.evaluate_spec(cell),
            "train_manifest": Path(study.manifest("m", "train")),
            "heldout_manifest": Path(study.manifest("m", "heldout")),
            "baselines": Path(study.baselines("m")),
            "asset": Path(study.asset("m")),
            "checkpoint_seconds": 300.0,
            "device": "cpu",
            "out": out,
        }


def without_costs(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but locks; a cell's records without what training cost."""
    contents = {}
    for path in folder.rglob("*"):
        if not path.is_file() or "lock" in path.name:
            continue
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        if path.name in ("metrics.json", TRAINING, "trained.json"):
            try:
                value = read_signed_json(path)
            except ValueError:
                pass
            else:
                for section in (value, value.get("training", {})):
                    for cost in COSTS:
                        section.pop(cost, None)
                content = canonical_json(value)
        contents[name] = content
    return contents


def make_whole_study(folder: Path, **changes: Any) -> WholeStudy:
    """Run every stage but tables, figures and the report, in ``folder``."""
    made = WholeStudy(Study.from_dict(configuration(folder) | changes))
    made.make_all_but_cells()
    for cell in made.study.cells:
        made.make(made.study.metrics(cell))
    return made
