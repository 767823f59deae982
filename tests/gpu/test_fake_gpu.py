"""The code of a GPU on tensors that only claim to lie on one, in PyTorch's FakeTensorMode.

A tensor on the wrong device raises, and so does whatever makes the host wait for the GPU. No values
are computed. The mode knows no compiler, no streams and no nonzero; a backward pass is
`tests.gpu.fake_autograd`.
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from transformers import SmolLM3Config, SmolLM3ForCausalLM

import sagsae
from sagsae.activations import reading
from sagsae.activations.hookpoints import default_hookpoints
from sagsae.activations.layout import StoreConfig
from sagsae.activations.reading import PASSES_AHEAD, BlockReader, DumpSettings
from sagsae.activations.tokens import TokenStore
from sagsae.activations.transfers import SideStream
from sagsae.autoencoders.registry import VARIANTS, K
from sagsae.autoencoders.weights import build
from sagsae.evaluation.calibration import Firings
from sagsae.evaluation.loss_recovered import Contexts, SummedLoss, reconstruction, spliced_losses
from sagsae.evaluation.metrics import accumulate
from sagsae.training.autograd_step import AutogradStep
from sagsae.training.history import History
from sagsae.training.recipe import Recipe
from sagsae.training.trainer import Trainer
from tests.gpu.fake_autograd import backward
from tests.gpu.fake_streams import FakeStreams
from tests.sagsae.test_readme import example

pytestmark = pytest.mark.skipif(
    torch.version.cuda is None,
    reason="this PyTorch is built without CUDA, so it has not even fake GPUs: install the package "
    "index's ordinary wheel",
)
B, D, H = 32, 8, 24
CUDA = torch.device("cuda", 0)
MOST = 8
"""k: four times as many latents are all that there are, so that BatchTopK sorts them all."""
FOUND = 3
"""How many places of a mask are true, which is not known: dead latents, kept positions."""
REVIVED = ("topk", "abstopk", "batchtopk", "matryoshka_batchtopk")


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    """Every tensor is fake. The compiler would need a device, compiled loops a tensor's memory."""
    monkeypatch.setattr(AutogradStep, "fuse", lambda step: None)
    monkeypatch.setattr("sagsae.training.optimiser._is_gate", lambda sae: False)
    monkeypatch.setattr(torch.autograd, "backward", backward)
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.Tensor, "nonzero", lambda x: x.new_zeros((FOUND, x.ndim)).long())
    with FakeTensorMode():
        yield


class Stream:
    """Batches as they come from a store: on the host, in bfloat16."""

    wait_seconds = 0.0

    def __next__(self):
        return torch.zeros(B, D, dtype=torch.bfloat16)

    def state(self):
        return {}

    def load_state(self, state):
        return


def made(name, device=CUDA, d=D):
    with torch.device(device):
        return build(name, d, H, 0.5)


def trainer(name, device=CUDA, **changes):
    sparsity = {"lam": 0.0, "k": MOST} if VARIANTS[name].knob == K else {"lam": 0.1}
    settings = {"steps": 9, "batch_size": B, "learning_rate": 0.01} | sparsity
    settings |= {"matmul_dtype": "bfloat16", "reset_window_tokens": 5 * B}
    return Trainer(made(name, device), Stream(), Recipe(**settings | changes), log_every=1000)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("beta1", [0.0, 0.9])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_runs_on_the_gpu_without_waiting(name, beta1, dtype):
    """Between logged steps and reset windows, with latents that were reset before."""
    run = trainer(name, beta1=beta1, matmul_dtype=dtype)
    run.step = 1
    for step in range(3):
        if step:
            run.optimiser._adam.reset = torch.arange(3, device=CUDA)
        run._advance()
    held = [*run.sae.state_dict().values(), *run.compute.grads.values(), run.last_fired]
    held += run.optimiser.state().values()
    assert {value.device for value in held} == {CUDA}


@pytest.mark.parametrize("name", REVIVED)
def test_dead_latents_learn_on_the_gpu(name):
    """They are listed at logged steps."""
    run = trainer(name)
    run.sae.auxk_coefficient, run.sae.auxk_latents, run.sae.dead_window_tokens = 0.1, 2, B
    run.step = 1
    run._advance()
    assert run.sae.dead.device == CUDA
    run.sae.dead = run.sae.dead.cpu()
    with pytest.raises(RuntimeError, match="device"):
        run.compute(torch.zeros(B, D, device=CUDA), MOST)


def test_waiting_and_a_wrong_device_are_seen():
    """Logging waits, once every ``log_every`` steps."""
    with pytest.raises(DataDependentOutputException):
        trainer("gated")._advance()
    with pytest.raises(RuntimeError, match="device"):
        torch.zeros(2, device=CUDA) + torch.zeros(2)


def known_k(sae):
    """The autoencoder with a k that the host knows; from the GPU it would be waited for."""
    if hasattr(sae, "k"):
        sae.k = torch.tensor(MOST)
    return sae


@pytest.mark.parametrize("name", VARIANTS)
def test_an_evaluation_stays_on_the_gpu(name, monkeypatch):
    """All but the sums over what fires, which are of sparse matrices: those have no fake ones."""
    seen = []

    def firings(z, error, decoder):
        seen.extend([z, error, decoder])
        return Firings(*(torch.zeros(2, H) for _ in range(3))), z.new_zeros(len(z)).long()

    monkeypatch.setattr(Firings, "of_rows", firings)
    sae, rows = known_k(made(name)), torch.zeros(2 * B, D, device=CUDA)
    sums = accumulate(sae, [rows.bfloat16(), rows.float()])
    seen += [sums.sum_x, sums.sum_x2, sums.sse, sae.code_of_latents(rows, torch.arange(2).to(CUDA))]
    assert {value.device for value in seen} == {CUDA}


@pytest.mark.parametrize(("writer", "reader"), [(CUDA, "cpu"), ("cpu", CUDA), (CUDA, CUDA)])
@pytest.mark.parametrize("beta1", [0.0, 0.9])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_checkpoint_goes_from_device_to_device(name, beta1, writer, reader):
    first, second = trainer(name, writer, beta1=beta1), trainer(name, reader, beta1=beta1)
    kept = {key: value.cpu() for key, value in first._tensors().items()}
    assert kept.keys() == second._tensors().keys()
    state = {"step": 5, "stream": {}, "history": {}}
    second._restore(kept, state)
    held = second._tensors()
    assert {value.device.type for value in held.values()} == {torch.device(reader).type}
    assert {key: (x.shape, x.dtype) for key, x in held.items()} == {
        key: (x.shape, x.dtype) for key, x in kept.items()
    }
    if reader == CUDA:
        second._advance()


CONTEXTS, LENGTH, WIDTH = 40, 16, 32


def language_model(dtype):
    sizes = {"vocab_size": 97, "hidden_size": WIDTH, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
    sizes |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    torch.set_default_dtype(dtype)
    try:
        with torch.device(CUDA):
            return SmolLM3ForCausalLM(SmolLM3Config(**sizes)).eval()
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", VARIANTS)
def test_reconstructions_go_through_a_language_model_on_the_gpu(name):
    """Contexts come from the host, losses go back to it."""
    model, point = language_model(torch.bfloat16), default_hookpoints("smollm3", 1)["resid"]
    ids = torch.ones(5, LENGTH, dtype=torch.long)
    contexts = Contexts(input_ids=ids, kept=torch.ones(5, LENGTH, dtype=torch.bool))
    replace = reconstruction(known_k(made(name, d=WIDTH)))
    found = spliced_losses(model, contexts, 2, point, replace).loss
    assert (found.device.type, found.shape) == ("cpu", (5, LENGTH - 1))
    elsewhere = reconstruction(known_k(made(name, "cpu", d=WIDTH)))
    with pytest.raises(RuntimeError, match="device"):
        spliced_losses(model, contexts, 2, point, elsewhere)


def block_reader(monkeypatch, batch, dtype):
    """Of a model on the fake GPU; no values are known, so that all positions count as kept."""

    monkeypatch.setattr(BlockReader, "_filled", lambda _, memory, n: n * (LENGTH - 1))
    monkeypatch.setattr(reading, "contexts_per_block", lambda *_: CONTEXTS)
    model = language_model(dtype)
    ids = np.ones((CONTEXTS, LENGTH), np.int32)
    known = default_hookpoints("smollm3", 1)
    points = {name: known[name] for name in ("mlp_out", "attn", "resid")}
    rows = (CONTEXTS - 4) * (LENGTH - 1)
    layout = {"rows_per_chunk": 1, "rows_per_block": rows, "n_blocks": 1, "seed": 0}
    config = StoreConfig(hookpoints=dict.fromkeys(points, WIDTH), **layout)
    settings = DumpSettings(batch_contexts=batch, slack=0.1, **layout)
    medians = dict.fromkeys(points, 1.0)
    return BlockReader(model, TokenStore(ids, ids), points, medians, config, settings, CUDA)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_dump_waits_for_passes_that_are_done_and_once_at_the_end(dtype, monkeypatch):
    """Nothing between two passes needs a value of the GPU: kept rows are counted on the host."""
    streams, batch = FakeStreams(monkeypatch), 4
    reader = block_reader(monkeypatch, batch, dtype)
    memory, waited = reader.memory(), []
    run = BlockReader._run

    def counted(*arguments):
        waited.append(streams.waits)
        return run(*arguments)

    monkeypatch.setattr(BlockReader, "_run", counted)
    found = reader.read(0, memory)
    passes = len(waited)
    assert found["first_position"] == CONTEXTS - 4 == passes * batch
    assert waited == [max(0, number - PASSES_AHEAD) for number in range(passes)]
    assert streams.waits == passes
    assert {x.device.type for x in (*memory.rows.values(), memory.kept)} == {"cpu"}
    copies = ["side waits for compute", *["keep for side"] * 4, "event on side"]
    assert streams.notes == copies * passes


def test_a_group_of_a_stream_arrives_beside_the_training(monkeypatch):
    streams = FakeStreams(monkeypatch)
    side = SideStream(CUDA)
    rows = side.host_memory((8, 4), torch.bfloat16)
    arrived = side.deliver(rows, torch.arange(8))
    assert {x.device for x in arrived} == {CUDA}
    assert streams.waits == 1, "the thread that reads waits, before the memory is filled again"
    side.keep_for_computing(*arrived)
    assert streams.notes == ["keep for compute"] * 2
    arrived[0].index_select(0, arrived[1])


def tokenizer(text, **options):
    return SimpleNamespace(input_ids=torch.ones(1, LENGTH, dtype=torch.long))


def moved(module, change):
    """As `torch.nn.Module._apply`, which cannot exchange fake parameters for others."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = torch.nn.Parameter(change(value.detach()))
        for name, value in part._buffers.items():
            part._buffers[name] = change(value)
    return module


def test_the_example_of_the_readme_mixes_no_devices(monkeypatch, tmp_path):
    """A dump and a training use the card. The model and the autoencoder are then on the CPU again,
    and on the card both where the model is put there. What needs values is left out."""
    monkeypatch.setattr(torch.nn.Module, "_apply", moved)
    seen, fresh = [], language_model(torch.float32).cpu()

    def dump_activations(model, *_, device):
        model.eval().to(device)
        seen.append(next(model.parameters()).device)

    @contextmanager
    def opened(rows, variant, width, recipe, *, device, **_):
        yield SimpleNamespace(sae=made(variant, device, WIDTH), run=lambda *_: History())

    def losses(found, contexts):
        seen.append(found.device)
        return SummedLoss(1.0, 1)

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", lambda _: fresh)
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda _: tokenizer)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "one.txt").write_text("some text")
    ids = np.ones((CONTEXTS, LENGTH), np.int32)
    monkeypatch.setattr("sagsae.activations.texts._contexts", lambda *_: TokenStore(ids, ids))
    monkeypatch.setattr(torch.Tensor, "__float__", lambda _: 0.0)
    monkeypatch.setattr("sagsae.autoencoders.dictionary.sparse_product", torch.matmul)
    monkeypatch.setattr("sagsae.activations.texts.dump_activations", dump_activations)
    monkeypatch.setattr("torch.from_numpy", lambda array: torch.ones(array.shape))
    monkeypatch.setattr("sagsae.activations.texts.Store.open", lambda where, rows: None)
    monkeypatch.setattr("sagsae.api.rows_of", lambda *_: SimpleNamespace(count=10**6))
    monkeypatch.setattr("sagsae.api.opened_trainer", opened)
    monkeypatch.setattr("sagsae.Autoencoder.save", lambda sae, path: None)
    mode = fresh.get_input_embeddings().weight.fake_mode
    copies = SimpleNamespace(deepcopy=lambda x: deepcopy(x, {id(mode): mode}))
    monkeypatch.setattr("sagsae.evaluation.interventions.copy", copies)
    monkeypatch.setattr("sagsae.evaluation.interventions._mean", lambda *_: torch.zeros(WIDTH))
    monkeypatch.setattr("sagsae.evaluation.interventions.sum_counted", losses)
    code = example().replace("layer=6", "layer=1").replace("transformer.h.6", "model.layers.1")
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    model, sae, tokens = names["model"], names["sae"], names["tokens"]
    cpu = torch.device("cpu")
    assert seen == [CUDA, cpu, cpu, cpu, cpu]
    assert {value.device for value in (*model.parameters(), *sae.parameters())} == {cpu}
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    model.to(CUDA)
    sagsae.loss_recovered(model, tokens, sae, "model.layers.1")
    point, direction = "model.layers.1", torch.zeros(WIDTH)
    for change in (sagsae.splice(model, point, sae), sagsae.steer(model, point, direction)):
        with change:
            assert model(tokens.to(CUDA)).logits.device == CUDA
    assert {value.device for value in sae.parameters()} == {cpu}
