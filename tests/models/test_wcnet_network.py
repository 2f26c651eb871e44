"""WCNet as a network: what it counts, where its options go, that it trains at any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hsi.errors import ModelError
from hsi.models.registry import build_model, model_entry
from hsi.models.wcnet import WaveletConv3d, wcnet


@pytest.mark.parametrize(
    ("bands", "classes", "levels", "count"),
    [
        (200, 16, 1, 1_265_248),
        (103, 9, 1, 1_262_441),
        (176, 13, 1, 1_264_045),
        (200, 16, 2, 1_867_360),
        (103, 9, 2, 1_864_553),
        (176, 13, 2, 1_866_157),
    ],
)
def test_parameter_counts(bands: int, classes: int, levels: int, count: int) -> None:
    model = build_model("wcnet", bands=bands, classes=classes, patch=11, levels=levels)
    assert sum(p.numel() for p in model.parameters()) == count


def test_options_reach_the_blocks() -> None:
    model = wcnet(20, 3, 7, levels=(2, 3, 1), kernel_size=5, wavelet="db2", axes="hw", layers=(1, 2, 1))
    blocks = [m for m in model.modules() if isinstance(m, WaveletConv3d)]
    assert [m.levels for m in blocks] == [2, 3, 3, 1]
    assert {(m.base.kernel_size, m.wavelet, m.axes) for m in blocks} == {((5, 5, 5), "db2", "hw")}
    assert model_entry("WCNet").provenance == "re-implemented from the description"


@pytest.mark.parametrize(("bands", "patch"), [(8, 7), (21, 9), (30, 11), (16, 17)])
def test_network_trains_and_keeps_samples_apart(bands: int, patch: int) -> None:
    torch.manual_seed(0)
    model = wcnet(bands, 4, patch, levels=(2, 2, 1), layers=(2, 2, 2))
    x = torch.randn(3, bands, patch, patch)
    nn.functional.cross_entropy(model(x), torch.tensor([0, 1, 3])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    model.eval()
    with torch.no_grad():
        together = model(x)
        alone = torch.cat([model(sample) for sample in x.split(1)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("levels", "patch", "words"),
    [((1, 2), 7, "levels"), ((1, 0, 1), 7, "at least 1 level"), (1, 8, "odd")],
)
def test_bad_options_and_sizes(levels: int | tuple[int, ...], patch: int, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        wcnet(20, 3, patch, levels=levels)
