"""Memory that is refused: one message with what to lower, nothing torn, checkpoints kept."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.jobs.cache import CONTEXTS, write_record
from sagsae.activations import TokenStore, contexts_per_block, save_tokens
from sagsae.training.checkpoint import load_checkpoint
from tests.faults.campaign import Campaign
from tests.faults.small_disk import Done, Stages
from tests.faults.small_study import (
    CONFIGURATION,
    RULES,
    STUDY,
    Reference,
    Stage,
    ancient_if_current,
    run_study,
)

STEPS = 5
MEBIBYTE = 2**20
STEP = "sagsae.training.step:Step.__call__"
SPLICED = "sagsae.evaluation.loss_recovered:token_losses"
WIDTH = "the width or expansion of the grid entry"


@dataclass(frozen=True)
class Place:
    """Where memory ends, and what the message has to say then.

    Attributes:
        rule: Of the stage.
        function: The memory ends in a call of it.
        calls: The first and the last one that may be chosen.
        use: What the memory was for.
        fields: What is to be lowered.
    """

    rule: str
    function: str
    calls: tuple[int, int]
    use: str
    fields: str


BLOCK = Place(
    "dump",
    "sagsae.activations.reading:BlockReader.memory",
    (1, 1),  # later ones run beside a thread that gives memory back
    "a block of activations",
    "dump.rows_per_block or dump.batch_contexts",
)
STREAM = Place(
    "cell",
    "sagsae.activations.stream:ActivationStream._buffer",
    (1, 2),
    "the chunks that are shuffled together",
    "training.group_chunks, dump.rows_per_chunk or training.batch_size",
)
BUFFERS = Place(
    "cell",
    "sagsae.training.step:Step.__init__",
    (1, 1),
    "a training step",
    f"training.batch_size or {WIDTH}",
)
MEASURES = Place(
    "cell",
    "sagsae.autoencoders.gate:GatedAutoencoder.encode",
    (1, 1),
    "the evaluation of the autoencoder",
    WIDTH,
)
FORWARD = Place(
    "dump",
    "transformers.models.smollm3.modeling_smollm3:SmolLM3Model.forward",
    (3, 3),  # those before are for the widths and the medians, of few tokens
    "a forward pass of the language model",
    "dump.batch_contexts or text.context_length",
)
TRAINING = Place("cell", STEP, (1, STEPS), BUFFERS.use, BUFFERS.fields)
PASSES = replace(FORWARD, calls=(1, 4))
LOSSES = [
    Place(
        rule, SPLICED, (1, 1), "spliced passes of the language model", "evaluation.batch_contexts"
    )
    for rule in ("baselines", "cell")
]


def larger_study() -> dict[str, Any]:
    """The small study with buffers of several MiB each."""
    study = copy.deepcopy(CONFIGURATION)
    study["models"][0]["source"]["parameters"]["hidden_size"] = 128
    study["models"][0]["d_model"] = 128
    study["text"]["source"] |= {"documents": 1300, "words": 50}
    study["dump"] |= {"train_rows": 16384, "heldout_rows": 8192, "batch_contexts": 1024}
    study["dump"] |= {"rows_per_block": 8192, "rows_per_chunk": 2048}
    study["grid"][0] |= {"width": 256, "lambdas": [0.1]}
    study["training"] = {"tokens": 4096 * STEPS, "batch_size": 4096, "matmul_dtype": "float32"}
    return study


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    # Large buffers then always come from the kernel, and none from what was freed before.
    tunables = "glibc.malloc.mmap_threshold=524288:glibc.malloc.arena_max=1"
    with Stages(GLIBC_TUNABLES=tunables) as running:
        yield running


@pytest.fixture(scope="module")
def reference(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The larger study, undisturbed, up to its cell."""
    folder, upto = tmp_path_factory.mktemp("reference"), RULES.index("cell") + 1
    return run_study(stages, folder, larger_study(), RULES[:upto])


def faults_of(done: Done, use: str, fields: str, *, on_gpu: bool = False) -> list[str]:
    """What is wrong with how a stage without memory ended."""
    kind, advice = "memory", "or give the job more memory, "
    if on_gpu:
        kind, advice = "GPU memory", "or lower jobs_per_gpu if several jobs share the GPU .*, "
    wanted = (
        rf"error: no {kind} for {use}, [\d.,]+ [KMG]iB asked for.*: lower {fields} in the "
        rf"configuration, {advice}and run the same command again"
    )
    good = done.status == 1 and re.match(wanted, done.error) and "Traceback" not in done.output
    return [] if good else [done.output]


@dataclass
class Account:
    """Refusals of one kind, and what came of them."""

    stages: Stages
    reference: Reference
    injected: int = 0
    detected: int = 0
    recovered: int = 0
    lost: int = 0
    faults: list[str] = field(default_factory=list)

    def refuse(
        self,
        stage: Stage,
        folder: Path,
        sabotage: str,
        place: Place,
        *,
        instead: list[str] | None = None,
        on_gpu: bool = False,
    ) -> None:
        """Let a stage, or ``instead`` of it another command line, run out; then run the stage."""
        folder.mkdir()
        self.injected += 1
        self.reference.prepare(folder, stage)
        done = self.stages.run(folder, *(instead or stage.arguments), sabotage=sabotage)
        found = faults_of(done, place.use, place.fields, on_gpu=on_gpu)
        found += [] if instead else self.reference.torn(folder, stage)
        self.detected += not found
        before = ancient_if_current(folder)
        again = self.stages.run(folder, *stage.arguments)
        after = [again.output] if again.status else []
        after += [] if instead else self.reference.differences(folder, stage)
        self.recovered += not after
        times = ancient_if_current(folder)
        self.lost += sum(times[path] != before[path] for path in before)
        self.faults += [f"{sabotage}: {fault}" for fault in found + after]

    def close(self, campaign: Campaign, kind: str) -> None:
        """Enter it in the campaign's table."""
        numbers = {"detected": self.detected, "recovered": self.recovered, "lost": self.lost}
        campaign.record(kind, injected=self.injected, **numbers)
        assert not self.faults, "\n".join(self.faults)
        assert self.lost == 0


@pytest.fixture
def account(stages: Stages, reference: Reference) -> Account:
    return Account(stages, reference)


@pytest.mark.parametrize(
    "place", [BLOCK, STREAM, BUFFERS, MEASURES, FORWARD], ids=lambda place: place.use
)
def test_memory_ends(place: Place, account: Account, campaign: Campaign, tmp_path: Path):
    chance = campaign.chance("memory", place.function)
    stage = account.reference.stages[place.rule][0]
    for number in range(campaign.times(full=5, short=1)):
        sabotage = f"starve {place.function} {chance.randint(*place.calls)}"
        account.refuse(stage, tmp_path / str(number), sabotage, place)
    account.close(campaign, f"no memory, {place.rule}: {place.use}")


@pytest.mark.parametrize("place", [TRAINING, PASSES, *LOSSES], ids=lambda place: place.rule)
def test_gpu_is_full(place: Place, account: Account, campaign: Campaign, tmp_path: Path):
    chance = campaign.chance("GPU", place.rule, place.function)
    stage = account.reference.stages[place.rule][0]
    for number in range(campaign.times(full=5, short=1)):
        sabotage = f"fill_gpu {place.function} {chance.randint(*place.calls)}"
        account.refuse(stage, tmp_path / str(number), sabotage, place, on_gpu=True)
    account.close(campaign, f"GPU out of memory (played), {place.rule}: {place.use}")


def changed(arguments: list[str], option: str, section: str, **fields: Any) -> list[str]:
    """A command line with other fields in one section of a specification."""
    arguments = list(arguments)
    place = arguments.index(option) + 1
    spec = json.loads(arguments[place])
    spec[section] |= fields
    arguments[place] = json.dumps(spec)
    return arguments


def test_configurations_that_ask_too_much(
    account: Account, campaign: Campaign, tmp_path: Path, stages: Stages
):
    """The message names the size; the configuration as it was before then gives what it gave."""
    cell, dump = (account.reference.stages[rule][0] for rule in ("cell", "dump"))
    many = 2**19
    batch = changed(cell.arguments, "--train-spec", "training", batch_size=many, tokens=many)
    account.refuse(cell, tmp_path / "batch", f"limit {128 * MEBIBYTE}", BUFFERS, instead=batch)
    wide = changed(cell.arguments, "--train-spec", "cell", width=many)
    autoencoder = Place("cell", "", (1, 1), "the autoencoder", WIDTH)
    account.refuse(cell, tmp_path / "width", f"limit {128 * MEBIBYTE}", autoencoder, instead=wide)
    block = changed(dump.arguments, "--spec", "dump", rows_per_block=many)
    spec = json.loads(block[block.index("--spec") + 1]) | {"rows": many}
    block[block.index("--spec") + 1] = json.dumps(spec)
    ids = np.ones((contexts_per_block(many, 16, spec["dump"]["slack"]), 16), np.int32)
    tokens = TokenStore(ids, np.zeros_like(ids))
    save_tokens(tmp_path / CONTEXTS, tokens)
    record = {"contexts": len(ids), "sha256": tokens.digest(), "family": "many"}
    write_record(tmp_path / "many.json", record, tmp_path)
    block[block.index("--tokens") + 1] = str(tmp_path / "many.json")
    account.refuse(dump, tmp_path / "block", f"limit {96 * MEBIBYTE}", BLOCK, instead=block)
    account.close(campaign, "no memory, configuration that asks too much")


def test_checkpoints_outlive_refusals(
    stages: Stages, reference: Reference, campaign: Campaign, tmp_path: Path
):
    stage = reference.stages["cell"][0]
    arguments = list(stage.arguments)
    arguments[arguments.index("--checkpoint-seconds") + 1] = "0"
    reference.prepare(tmp_path, stage)
    step = campaign.chance("checkpoint").randint(2, STEPS - 1)
    gpu = stages.run(tmp_path, *arguments, sabotage=f"fill_gpu {STEP} {step}")
    (checkpoint,) = (tmp_path / STUDY).glob("cells/**/.state/checkpoint-*.safetensors")
    kept = checkpoint.read_bytes()
    assert load_checkpoint(checkpoint)[1]["step"] == step - 1
    memory = stages.run(tmp_path, *arguments, sabotage=f"starve {BUFFERS.function} 1")
    faults = faults_of(gpu, TRAINING.use, TRAINING.fields, on_gpu=True)
    faults += faults_of(memory, BUFFERS.use, BUFFERS.fields)
    assert checkpoint.read_bytes() == kept
    # A step that was made already would be one more than are left, and meet a full GPU again.
    again = stages.run(tmp_path, *arguments, sabotage=f"fill_gpu {STEP} {STEPS - step + 2}")
    differences = reference.differences(tmp_path, stage)
    campaign.record(
        "no memory, a checkpoint is there",
        injected=2,
        detected=2 - len(faults),
        recovered=2 * int(again.status == 0 and not differences),
    )
    assert not faults, "\n".join(faults)
    assert again.status == 0, again.output
    assert not differences


def test_threads_that_cannot_be_started(
    stages: Stages, reference: Reference, campaign: Campaign, tmp_path: Path
):
    """Zarr would wait for a thread of its own for ever, if its first read happened in another."""
    stage = reference.stages["cell"][0]
    reference.prepare(tmp_path, stage)
    sabotage = "starve sagsae.activations.stream:ActivationStream._start 1"
    done = stages.run(tmp_path, *stage.arguments, sabotage=sabotage)
    again = stages.run(tmp_path, *stage.arguments)
    differences = reference.differences(tmp_path, stage)
    met = done.status == 1 and done.error.startswith("error: no thread can be started, ")
    recovered = again.status == 0 and not differences
    campaign.record("no threads", injected=1, detected=int(met), recovered=int(recovered))
    assert met, done.output
    assert again.status == 0, again.output
    assert not differences
