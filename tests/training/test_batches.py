"""Batches: every pixel once, none alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hsi.errors import ConfigError
from hsi.training.batches import check_batch, cut_batches


@given(st.integers(2, 300), st.integers(2, 40))
def test_every_pixel_is_in_one_batch_and_none_is_alone(count, size):
    pixels = np.random.default_rng(0).permutation(count)
    batches = cut_batches(pixels, size)
    np.testing.assert_array_equal(np.concatenate(batches), pixels)
    lengths = [len(batch) for batch in batches]
    assert set(lengths[:-1]) <= {size}
    assert 2 <= lengths[-1] <= size + 1


def test_batches_of_one_are_refused_only_where_batch_norm_needs_two():
    check_batch(nn.Sequential(nn.Linear(2, 2)), "own", 1)
    check_batch(nn.Sequential(nn.BatchNorm1d(2)), "own", 2)
    with pytest.raises(ConfigError, match="own normalises over the batch, so --batch must be at least 2"):
        check_batch(nn.Sequential(nn.BatchNorm1d(2)), "own", 1)
