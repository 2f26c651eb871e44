"""The preprocessing in a graph against the preprocessing of cubes, which is float64 NumPy."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.preprocess import Preprocess
from hsi.export.graph import Features


@settings(max_examples=25, deadline=None)
@given(
    bands=st.integers(2, 9),
    components=st.integers(0, 4),
    keep=st.booleans(),
    common=st.booleans(),
    level=st.sampled_from([0.0, 1.0, 3e4, -1e6]),
    seed=st.integers(0, 99),
)
def test_equals_the_preprocessing(bands, components, keep, common, level, seed):
    random = np.random.default_rng(seed)
    cube = (random.normal(level, 10, (6, 5, bands))).astype(np.float32)
    chosen = random.permutation(bands)[: max(2, bands // 2)] if keep else None
    chain = Preprocess(keep=chosen, components=components, common_scale=common).fit(cube)
    expected = torch.from_numpy(chain.transform(cube)).permute(2, 0, 1)
    patches = torch.from_numpy(cube).permute(2, 0, 1)[None]
    found = Features(chain)(patches)[0]
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)
    holes = patches.clone()
    band = 0 if chosen is None else int(chosen[0])
    holes[0, band, 2, 3], holes[0, band, 0, 0] = torch.nan, -torch.inf
    found = Features(chain)(holes)[0]
    expected[:, 2, 3] = expected[:, 0, 0] = 0
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)
