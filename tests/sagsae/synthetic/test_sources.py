"""What the sources draw: its statistics against the truth, and streams that resume."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sagsae.synthetic.anomalies import ExcursionSource
from sagsae.synthetic.pairs import PairSource, antipodal, at_cosine
from sagsae.synthetic.runs import EVALUATION, SyntheticStream, generator, unit_directions

ROWS = 20_000
few = settings(max_examples=25)


def within(observed: float, probability: float, trials: int, sigmas: float = 6.0) -> bool:
    """Whether an observed share is one that Bernoulli trials give, all but never otherwise."""
    return abs(observed - probability) <= sigmas * (probability / trials) ** 0.5 + 1e-12


@few
@given(
    st.integers(1, 12),
    st.floats(0.01, 0.5),
    st.floats(-1, 0),
    st.floats(0.25, 4),
    st.integers(0, 2**32),
)
def test_poles_are_active_as_often_as_they_should_be(n, q, rho, alpha, seed):
    poles = antipodal(unit_directions(n, 8, seed))
    source = PairSource(poles=poles, probability=q, correlation=rho, negative_scale=alpha)
    sample = source.draw(ROWS, generator(seed, EVALUATION))
    active = sample.active()
    trials = ROWS * n
    for pole in (0, 1):
        assert within(float(active[:, :, pole].double().mean()), q, trials)
    assert within(float(active.all(2).double().mean()), q * q * (1 + rho), trials)
    assert within(float(active.any(2).double().mean()), source.any, trials)
    assert source.active_pairs == pytest.approx(n * source.any)
    positive, negative = (sample.size[:, pole][sample.size[:, pole] > 0] for pole in (0, 1))
    for size, scale in ((positive, 1.0), (negative, alpha)):
        assert 0.5 * scale <= size.min()
        assert size.max() <= 1.5 * scale * 1.000001
        assert float(size.mean()) == pytest.approx(scale, rel=0.3 * 6 / len(size) ** 0.5)


@few
@given(st.integers(1, 6), st.floats(0.02, 0.5), st.floats(-1, 0), st.integers(0, 2**32))
def test_rows_are_the_sums_of_their_active_poles(n, q, rho, seed):
    poles = at_cosine(*unit_directions(2 * n, 8, seed).split(n), -0.3)
    sample = PairSource(poles=poles, probability=q, correlation=rho).draw(
        300, generator(seed, EVALUATION)
    )
    sizes = torch.zeros(300, n, 2)
    sizes[sample.row, sample.pair] = sample.size
    assert len(set(zip(sample.row.tolist(), sample.pair.tolist(), strict=True))) == len(sample.row)
    torch.testing.assert_close(sample.x, torch.einsum("rns,nsd->rd", sizes, poles))
    assert torch.equal(sample.active(), sizes > 0)


@few
@given(st.integers(2, 64), st.floats(-1, 1), st.integers(0, 2**32))
def test_poles_stand_at_their_cosine(d, cosine, seed):
    directions, aside = unit_directions(10, d, seed).split(5)
    poles = at_cosine(directions, aside, cosine)
    torch.testing.assert_close(poles.norm(dim=2), torch.ones(5, 2), rtol=0, atol=1e-4)
    found = (poles[:, 0] * poles[:, 1]).sum(1)
    torch.testing.assert_close(found, torch.full((5,), cosine), rtol=0, atol=1e-3)


@few
@given(st.floats(0.05, 0.9), st.floats(0.01, 0.3), st.integers(0, 2**32))
def test_excursions_have_their_share_axis_direction_and_size(share, fluctuation, seed):
    axes = torch.eye(4)
    source = ExcursionSource(axes=axes, fluctuation=fluctuation, share=share, low=2, high=3)
    sample = source.draw(ROWS, generator(seed, EVALUATION))
    hit = sample.axis >= 0
    assert within(float(hit.double().mean()), share, ROWS)
    assert not sample.negative[~hit].any()
    assert within(float((sample.negative & hit).double().mean()), share / 2, ROWS)
    for axis in range(4):
        assert within(float((sample.axis == axis).double().mean()), share / 4, ROWS)
    size = sample.x[hit].gather(1, sample.axis[hit][:, None])[:, 0]
    signed = torch.where(sample.negative[hit], -size, size)
    assert 2 - 6 * fluctuation < float(signed.min())
    assert float(signed.max()) < 3 + 6 * fluctuation
    assert float(sample.x[~hit].std()) == pytest.approx(fluctuation, rel=0.1)


def test_a_stream_resumes_where_it_stopped_and_never_repeats():
    source = PairSource(poles=antipodal(unit_directions(4, 8, 0)), probability=0.2)
    first, second = SyntheticStream(source, 16, 3), SyntheticStream(source, 16, 3)
    batches = [next(first) for _ in range(6)]
    next(second)
    state = second.state()
    third = SyntheticStream(source, 16, 3)
    third.load_state(state)
    assert all(torch.equal(next(third), batch) for batch in batches[1:])
    assert not torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], next(SyntheticStream(source, 16, 4)))
    evaluation = source.draw(16, generator(3, EVALUATION)).x
    assert not any(torch.equal(evaluation, batch) for batch in batches)
