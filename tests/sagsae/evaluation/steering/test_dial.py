"""Steering against plain float64 passes, one direction and one size at a time."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from sagsae.evaluation import resume
from sagsae.evaluation.loss_recovered import Contexts
from sagsae.evaluation.steering.dial import Steering, interventions, steer
from sagsae.evaluation.steering.directions import Arms, random_directions
from tests.sagsae.evaluation.samples import (
    HIDDEN,
    HOOKPOINTS,
    VOCABULARY,
    contexts_of,
    point_of,
    replaced_output,
)

SIZES, READ, TOKENS = (1.0, 2.0, 4.0), 5, 3


def made_arms() -> Arms:
    """A signed direction, and a pair that is not quite opposite."""
    rows = random_directions(3, HIDDEN, seed=5)
    signed = Arms.signed(rows[:1])
    pair = Arms.signed(rows[1:2])
    other = Arms.signed(rows[2:3] - rows[1:2])
    return Arms.joined(signed, Arms(pair.plus, other.plus))


def plain_logits(model, input_ids, kept, name, vector):
    """[B, L, V] float64 logits of whole passes with the vector added at the kept positions."""
    with replaced_output(model, name, lambda x: x + vector, kept), torch.no_grad():
        return model(input_ids=input_ids, use_cache=False).logits


def plain_curves(model, input_ids, kept, name, arms):
    """Promoted tokens, divergences and effects with standard errors, from the definition."""
    exact, half = copy.deepcopy(model).double(), len(input_ids) // 2
    read = torch.zeros_like(kept)
    for b in range(len(kept)):
        places = kept[b].nonzero().flatten().tolist()
        most = min(READ, len(places))
        for i in range(most):
            read[b, places[(2 * i + 1) * len(places) // (2 * most)]] = True

    def at(vector, part):
        found = plain_logits(exact, input_ids[part], kept[part], name, vector)
        return [found[b][read[part][b]] for b in range(len(found))]

    choose, measure = slice(0, half), slice(half, None)
    nothing = torch.zeros(HIDDEN, dtype=torch.float64)
    promoted, kl, effect, errors = [], [], [], []
    for plus, minus in zip(arms.plus.double(), arms.minus.double(), strict=True):
        ends = [at(SIZES[-1] * arm, choose) for arm in (plus, minus)]
        before = torch.cat(at(nothing, choose)).mean(0)
        tokens = [(torch.cat(end).mean(0) - before).topk(TOKENS).indices for end in ends]
        promoted.append(torch.stack(tokens))
        clean = at(nothing, measure)
        rows = []
        for size in [-size for size in SIZES[::-1]] + [0.0, *SIZES]:
            steered = at(abs(size) * (plus if size > 0 else minus), measure)
            changes, divergences = [], []
            for x, y in zip(clean, steered, strict=True):
                p, q = x.log_softmax(-1), y.log_softmax(-1)
                divergences.append((p.exp() * (p - q)).sum(-1))
                gap = [z[:, tokens[0]].mean(-1) - z[:, tokens[1]].mean(-1) for z in (x, y)]
                changes.append(gap[1] - gap[0])
            every = torch.cat(changes)
            n, count = len(every), len(changes)
            residues = sum((c.sum() - len(c) * every.mean()) ** 2 for c in changes)
            error = (residues * count / (count - 1)) ** 0.5 / n
            rows.append([torch.cat(divergences).mean(), every.mean(), error])
        kl.append([row[0] for row in rows])
        effect.append([row[1] for row in rows])
        errors.append([row[2] for row in rows])
    return torch.stack(promoted), *(torch.tensor(part) for part in (kl, effect, errors))


@pytest.mark.parametrize("name", HOOKPOINTS)
def test_curves_agree_with_plain_passes_in_float64(model, input_ids, kept, name):
    arms, seen = made_arms(), []
    steering = Steering(
        model=model, hookpoint=point_of(model, name), positions=READ, tokens=TOKENS, batch=5
    )
    found = steer(steering, contexts_of(model, input_ids, kept), arms, SIZES, seen.append)
    promoted, kl, effect, errors = plain_curves(model, input_ids, kept, name, arms)
    assert torch.equal(found.promoted.sort(-1).values, promoted.sort(-1).values)
    torch.testing.assert_close(found.kl, kl, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.effect, effect, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.effect_se, errors, rtol=1e-3, atol=1e-4)
    assert found.sizes.tolist() == [-4, -2, -1, 0, 1, 2, 4]
    assert (found.kl[:, 3].tolist(), found.effect[:, 3].tolist()) == ([0, 0], [0, 0])
    assert float(found.effect[:, -1].min()) > 0.01
    assert float(found.kl[:, -1].min()) > 1e-3
    assert (found.contexts, found.positions) == (3, 3 * READ)
    assert seen[-1] == interventions(6, 2, 3) == 2 * 2 * (3 + 3 * 3)
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("limit", [2, 7, 2**20])
def test_batches_and_chunks_change_nothing(neox, input_ids, kept, limit, monkeypatch):
    """Neither how many interventions share a pass, nor how many rows the head takes."""
    model, arms = neox.float(), made_arms()
    contexts = contexts_of(model, input_ids, kept)
    steering = Steering(model=model, hookpoint=point_of(model), positions=READ, tokens=TOKENS)
    whole = steer(replace(steering, batch=100), contexts, arms, SIZES)
    monkeypatch.setattr(resume, "LOGITS_PER_HEAD", limit * VOCABULARY)
    monkeypatch.setattr(resume, "LOGITS_PER_SOFTMAX", 2 * VOCABULARY)
    for batch in (1, 4):
        for given in (contexts, contexts.full):
            found = steer(replace(steering, batch=batch), given, arms, SIZES)
            assert torch.equal(found.promoted, whole.promoted)
            torch.testing.assert_close(found.kl, whole.kl, rtol=1e-4, atol=2e-6)
            torch.testing.assert_close(found.effect, whole.effect, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_steered_is_refused(neox, input_ids, kept):
    contexts, arms = contexts_of(neox, input_ids, kept), made_arms()
    steering = Steering(model=neox, hookpoint=point_of(neox))
    for sizes in ((), (0.0, 1.0), (2.0, 1.0), (1.0, 1.0)):
        with pytest.raises(ValueError, match="must ascend, from above 0"):
            steer(steering, contexts, arms, sizes)
    one = Contexts(input_ids=input_ids[:1], kept=kept[:1])
    with pytest.raises(ValueError, match="two are needed"):
        steer(steering, one, arms, SIZES)
    for half, name in ((slice(0, 3), "first"), (slice(3, 6), "second")):
        none = kept.clone()
        none[half] = False
        with pytest.raises(ValueError, match=f"in the {name} half"):
            steer(steering, replace(contexts, kept=none), arms, SIZES)
    below = replace(steering, hookpoint=point_of(neox, layer=1))
    with pytest.raises(ValueError, match=r"layers\.1\) does not lie in block 2"):
        steer(below, contexts, arms, SIZES)
