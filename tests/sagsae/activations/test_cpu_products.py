"""Models of bfloat16 weights on a CPU without such products."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sagsae.activations.cpu_products import CpuKind, Float32Linear, multiply_in_float32
from sagsae.activations.language_models import load_language_model
from tests.sagsae.evaluation.samples import ARCHITECTURES, LENGTH, VOCABULARY, tiny_model

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "matmul", "linear"}


class Products(TorchDispatchMode):
    """Notes the dtypes of what is multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in PRODUCTS:
            self.dtypes |= {arg.dtype for arg in args if isinstance(arg, torch.Tensor)}
        return func(*args, **(kwargs or {}))


def logits_of(model, ids):
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits.double()


@pytest.fixture(params=ARCHITECTURES)
def models(request):
    """A bfloat16 model as it is, with products in float32, and in float64; and tokens."""
    plain = tiny_model(request.param, torch.bfloat16)
    changed = copy.deepcopy(plain)
    multiply_in_float32(changed)
    ids = torch.randint(VOCABULARY, (3, LENGTH), generator=torch.Generator().manual_seed(1))
    return plain, changed, copy.deepcopy(plain).double(), ids


def test_no_layer_multiplies_bfloat16(models):
    plain, changed, _, ids = models
    for model, low in ((plain, True), (changed, False)):
        with Products() as seen:
            logits_of(model, ids)
        assert (torch.bfloat16 in seen.dtypes) == low
        assert torch.float32 in seen.dtypes or low


def test_the_model_is_as_exact_and_its_weights_are_the_same(models):
    plain, changed, exact, ids = models
    wanted = logits_of(exact, ids)
    errors = [(logits_of(model, ids) - wanted).square().mean().sqrt() for model in (plain, changed)]
    assert 0 < errors[1] < 1.2 * errors[0]
    assert logits_of(changed, ids).dtype == torch.float64
    assert changed.dtype == torch.bfloat16
    for (name, before), (same, after) in zip(
        plain.state_dict().items(), changed.state_dict().items(), strict=True
    ):
        assert name == same
        assert torch.equal(before, after)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_loaded_model_multiplies_what_the_machine_can(each_cpu_kind, tmp_path, dtype):
    tiny_model("llama").save_pretrained(tmp_path)
    kinds = {type(m) for m in load_language_model(tmp_path, dtype).modules()}
    changed = dtype == torch.bfloat16 and each_cpu_kind == CpuKind.NO_BFLOAT16
    assert (Float32Linear in kinds) == changed
    assert (torch.nn.Linear in kinds) != changed
    kinds = {type(m) for m in load_language_model(tmp_path, dtype, "meta").modules()}
    assert Float32Linear not in kinds
