"""An epoch's numbers, read at every step or seldom: the same sums, the same bad batch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hsi.training import Watcher
from hsi.training.tally import OVERFLOWS_IN_A_ROW, NotFiniteError, Tally, gradient_norm


class Losses(Watcher):
    def __init__(self):
        self.seen = []

    def step(self, loss):
        self.seen.append(loss)


def feed(steps, every, scaled=False, watcher=None):
    """Tally ``(pixels, loss, right, gradient)`` steps; return the totals, and how many were taken."""
    batches = [np.arange(pixels) for pixels, *_ in steps]
    tally = Tally(batches, every, scaled, watcher or Watcher())
    for taken, (_, loss, right, gradient) in enumerate(steps, start=1):
        try:
            tally.add(torch.tensor(loss), torch.tensor(right), torch.tensor(gradient))
        except NotFiniteError as found:
            found.taken = taken
            raise
    return tally.totals()


steps = st.lists(
    st.tuples(st.integers(1, 50), st.floats(0, 9, width=32), st.integers(0, 50), st.just(1.0)), min_size=1
)


@given(steps, st.integers(1, 40))
def test_sums_do_not_depend_on_how_often_it_looks(steps, every):
    watcher = Losses()
    found = feed(steps, every, watcher=watcher)
    pixels = sum(step[0] for step in steps)
    assert found.loss == pytest.approx(math.fsum(step[0] * step[1] for step in steps) / pixels)
    assert found.oa == sum(step[2] for step in steps) / pixels
    assert found.overflows == 0
    assert watcher.seen == [step[1] for step in steps]
    assert found == feed(steps, 1)


@given(st.integers(0, 19), st.integers(1, 40), st.sampled_from(["loss", "gradient"]))
def test_the_first_bad_batch_is_named_however_late_it_is_seen(bad, every, what):
    good = (4, 1.0, 2, 1.0)
    values = [good] * bad
    values.append((4, math.nan, 2, 1.0) if what == "loss" else (4, 1.0, 2, math.inf))
    values += [(4, math.nan, 0, math.nan)] * (20 - len(values))  # what a bad step does to those behind it
    with pytest.raises(NotFiniteError) as found:
        feed(values, every)
    assert (found.value.batch, found.value.what) == (bad, what)
    if hasattr(found.value, "taken"):
        assert bad < found.value.taken <= bad + every


def test_overflows_are_counted_where_the_loss_is_scaled():
    good, over = (4, 1.0, 2, 1.0), (4, 1.0, 2, math.inf)
    values = [over, over, good, over, good]
    assert feed(values, 2, scaled=True).overflows == 3
    with pytest.raises(NotFiniteError, match="gradient is inf in batch 0"):
        feed(values, 2)


def test_overflows_without_end_are_no_matter_of_scale():
    over = (4, 1.0, 2, math.nan)
    assert feed([over] * (OVERFLOWS_IN_A_ROW - 1), 1, scaled=True).overflows == OVERFLOWS_IN_A_ROW - 1
    with pytest.raises(NotFiniteError, match="gradient is nan") as found:
        feed([(4, 1.0, 2, 1.0), *[over] * OVERFLOWS_IN_A_ROW], 1, scaled=True)
    assert found.value.batch == OVERFLOWS_IN_A_ROW


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_bad_entry_shows_in_the_norm_of_a_gradient(value):
    parameters = [torch.nn.Parameter(torch.zeros(3, 2)), torch.nn.Parameter(torch.zeros(4))]
    parameters[0].grad, parameters[1].grad = torch.full((3, 2), 2.0), torch.arange(4.0)
    assert gradient_norm(parameters).item() == pytest.approx(math.sqrt(6 * 4 + 14))
    parameters[1].grad[2] = value
    assert not math.isfinite(gradient_norm(parameters).item())
