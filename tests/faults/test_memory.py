"""Memory that is refused: one message with what to lower, nothing torn, checkpoints kept."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.small_disk import Done, Stages
from tests.faults.small_study import CONFIGURATION, Reference, run_study

FORWARD = "transformers.models.smollm3.modeling_smollm3:SmolLM3Model.forward"
READ, BUFFER = "sagsae.activations.dump:_BlockReader.read", "ActivationStream._buffer"
STREAM = f"sagsae.activations.stream:{BUFFER}"
STEP, INIT = "sagsae.training.step:Step.__call__", "sagsae.training.step:Step.__init__"
EVALUATION = "pipeline.evaluate:evaluate_reconstruction"
SPLICED = "sagsae.evaluation.loss_recovered:token_losses"
STEPS = 8


def larger_study() -> dict[str, Any]:
    """The small study with buffers of several MiB each, which no allocator has lying about."""
    study = copy.deepcopy(CONFIGURATION)
    study["models"][0]["source"]["parameters"]["hidden_size"] = 128
    study["models"][0]["d_model"] = 128
    study["text"]["source"] |= {"documents": 2500, "words": 50}
    study["dump"] |= {"train_rows": 32768, "heldout_rows": 16384, "batch_contexts": 1024}
    study["dump"] |= {"rows_per_block": 16384, "rows_per_chunk": 4096}
    study["grid"][0] |= {"width": 512, "lambdas": [0.1]}
    study["training"] = {"tokens": 4096 * STEPS, "batch_size": 4096}
    return study


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    # With a fixed threshold large buffers always come from the kernel, as they do while a process
    # is young: nothing that was freed before is used again.
    with Stages(GLIBC_TUNABLES="glibc.malloc.mmap_threshold=65536") as running:
        yield running


@pytest.fixture(scope="module")
def reference(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The larger study, undisturbed."""
    return run_study(stages, tmp_path_factory.mktemp("reference"), larger_study())


def refused(done: Done, what: str, fields: str, where: str = "memory") -> list[str]:
    """What is wrong with how a stage without memory ended."""
    wanted = rf"error: no {where} for {what}, [\d.,]+ [KMG]iB asked for.*: lower {fields} in the "
    good = re.match(wanted, done.error) and "run the same command again" in done.error
    return [] if good and done.status == 1 and "Traceback" not in done.output else [done.output]


def changed(arguments: list[str], option: str, section: str, **fields: Any) -> list[str]:
    """A command line with other fields in one section of a specification."""
    arguments = list(arguments)
    place = arguments.index(option) + 1
    spec = json.loads(arguments[place])
    spec[section] |= fields
    arguments[place] = json.dumps(spec)
    return arguments
