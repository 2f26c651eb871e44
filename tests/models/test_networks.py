"""Every network as a whole: parameter counts, training at any size, the same logits however it is run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.models import build_model, list_models, model_entry
from hsi.models.device import FORMATS, format_of, lay_out

BANDS, CLASSES, PATCH = 25, 5, 9
BATCH = 4
BF16_TOLERANCE = 0.03
"""Largest difference of logits under bf16 autocast, relative to the largest logit (bf16 has 8 bits)."""

NETWORKS = ["densenet3d", "stnet", "kanet", "ekgnet", "wcnet", "sgdscnet"]


def test_all_networks_are_here() -> None:
    assert list_models()[: len(NETWORKS)] == NETWORKS


SCENES = [(200, 16), (103, 9), (176, 13)]
"""Bands and classes of Indian Pines, Pavia University and KSC."""


@pytest.mark.parametrize(
    ("name", "options", "counts"),
    [
        ("densenet3d", {}, (585_184, 582_377, 583_981)),
        ("stnet", {}, (3_168_736, 3_165_929, 3_167_533)),
        ("kanet", {}, (3_275_488, 3_272_681, 3_274_285)),
        ("ekgnet", {}, (2_760_250, 2_757_443, 2_759_047)),  # released network less 18 unused frozen values
        ("wcnet", {}, (1_265_248, 1_262_441, 1_264_045)),
        ("wcnet", {"levels": 2}, (1_867_360, 1_864_553, 1_866_157)),
        ("sgdscnet", {}, (2_346_028, 2_343_221, 2_344_825)),
        ("sgdscnet", {"points": 9}, (6_308_548, 6_305_741, 6_307_345)),
    ],
)
def test_parameter_counts(name: str, options: dict[str, int], counts: tuple[int, ...]) -> None:
    for (bands, classes), count in zip(SCENES, counts, strict=True):
        model = build_model(name, bands=bands, classes=classes, patch=11, **options)
        assert sum(p.numel() for p in model.parameters()) == count


def test_provenance() -> None:
    released = {name for name in NETWORKS if model_entry(name).provenance == "released code"}
    assert released == {"densenet3d", "kanet", "ekgnet"}


@pytest.mark.parametrize(("bands", "patch"), [(8, 7), (9, 11), (30, 9), (13, 17)])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in NETWORKS),
        *((name, {"downsampling": "antialiased"}) for name in NETWORKS),
        ("kanet", {"kernel_size": 3}),
        ("ekgnet", {"pre_norm": True}),
        ("wcnet", {"levels": (2, 2, 1)}),
    ],
)
def test_trains_at_any_size(name: str, options: dict[str, object], bands: int, patch: int) -> None:
    torch.manual_seed(0)
    sizes = {"layers": (2, 1, 1), "growth": (4, 8, 8)}
    model = build_model(name, bands=bands, classes=4, patch=patch, **sizes, **options)
    x = torch.randn(3, bands, patch, patch)
    F.cross_entropy(model(x), torch.tensor([0, 1, 3])).backward()
    for key, parameter in model.named_parameters():
        if parameter.grad is None:  # a snake without a plane to move in needs no offsets
            assert ".offsets." in key, key
        else:
            assert parameter.grad.isfinite().all(), key
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(
            model(x), torch.cat([model(sample) for sample in x.split(1)]), atol=1e-5, rtol=1e-4
        )


ANTIALIASED = "densenet3d, antialiased"


@pytest.fixture(params=[*NETWORKS, ANTIALIASED])
def network(request: pytest.FixtureRequest) -> nn.Module:
    """A small network in evaluation mode, with batch norms that have seen data and weights that matter."""
    torch.manual_seed(0)
    name, _, downsampling = request.param.partition(", ")
    options = {"layers": (1, 1, 1), "growth": (4, 4, 4), "downsampling": downsampling or "released"}
    made = build_model(name, bands=BANDS, classes=CLASSES, patch=PATCH, **options)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    made.train()
    for _ in range(3):
        made(patches(seed=5))
    return made.eval()


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    """Compiled graphs of one test are no use to the next."""
    yield
    torch.compiler.reset()


def patches(seed: int = 1, count: int = BATCH) -> Tensor:
    """Return a batch ``(N, bands, P, P)``, contiguous."""
    return torch.randn(count, BANDS, PATCH, PATCH, generator=torch.Generator().manual_seed(seed))


def assert_same(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Compare logits, relative to the largest one."""
    assert actual.shape == expected.shape == (len(expected), CLASSES)
    assert expected.std() > 0.01, "logits that are all alike would show nothing"
    error = (actual.float() - expected).abs().max() / expected.abs().max()
    assert error <= tolerance, f"largest relative difference {error:.1e}"


@torch.no_grad()
def test_memory_layout_of_the_input(network: nn.Module) -> None:
    x = patches()
    expected = network(x)
    assert_same(network(x.contiguous(memory_format=torch.channels_last)), expected)
    strided = torch.zeros(BATCH, 2 * BANDS, PATCH + 3, PATCH)[:, ::2, 2 : PATCH + 2]
    assert_same(network(strided.copy_(x)), expected)


@torch.no_grad()
def test_memory_layout_of_the_weights(network: nn.Module) -> None:
    x = patches()
    expected = network(x)
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()
    assert_same(network(x), expected)


def test_memory_format(network: nn.Module) -> None:
    """Logits, gradients and running averages in each format are those of the one it is built in."""
    x, labels = patches().double(), torch.arange(BATCH) % CLASSES
    network.double()
    built = format_of(network)
    assert built == "channels_last_3d"
    found: list[dict[str, Tensor]] = []
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for name in (built, *FORMATS, built):
        lay_out(network, name)
        network.load_state_dict(before)
        network.zero_grad()
        with torch.no_grad():
            logits = network.eval()(x)
        loss = F.cross_entropy(network.train()(x), labels)
        loss.backward()
        grads = {f"grad {key}": p.grad.clone() for key, p in network.named_parameters() if p.grad is not None}
        after = {key: value.clone() for key, value in network.state_dict().items()}
        found.append({"logits": logits, "loss": loss.detach(), **grads, **after})
        assert format_of(network) == name
        kernels = [p for p in network.parameters() if p.dim() == 5]
        assert all(p.is_contiguous(memory_format=FORMATS[name]) for p in kernels)
        assert not all(p.is_contiguous(memory_format=f) for p in kernels for f in FORMATS.values())
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for key, value in found[0].items():
            torch.testing.assert_close(other[key], value, rtol=1e-7, atol=1e-10, msg=key)


@torch.no_grad()
def test_memory_format_in_float32(network: nn.Module) -> None:
    x, maps = patches(), []
    network.stem.register_forward_hook(lambda module, args, y: maps.append(y))  # type: ignore[operator, union-attr]
    expected = network(x)
    lay_out(network, "contiguous")
    assert_same(network(x), expected)
    assert_same(network(x.contiguous(memory_format=torch.channels_last)), expected)
    in_format = [[y.is_contiguous(memory_format=each) for each in FORMATS.values()] for y in maps]
    assert in_format == [[True, False], [False, True], [False, True]]


@torch.no_grad()
def test_batch_and_its_samples_one_by_one(network: nn.Module) -> None:
    x = patches()
    assert_same(torch.cat([network(sample) for sample in x.split(1)]), network(x))


@torch.no_grad()
def test_batch_in_another_order(network: nn.Module) -> None:
    x = patches()
    order = torch.tensor([2, 0, 3, 1])
    assert_same(network(x[order]), network(x)[order])


@torch.no_grad()
def test_float64(network: nn.Module) -> None:
    x = patches()
    logits = network(x)
    assert_same(logits.double().float(), network.double()(x.double()).float())


def test_same_bits_twice(network: nn.Module) -> None:
    def step() -> list[Tensor]:
        logits = network(patches())
        used = [p for p in network.parameters() if p.requires_grad]
        return [logits, *torch.autograd.grad(logits.square().sum(), used, materialize_grads=True)]

    assert all(torch.equal(a, b) for a, b in zip(step(), step(), strict=True))


@torch.no_grad()
def test_compiled(network: nn.Module) -> None:
    x = patches()
    assert_same(torch.compile(network, backend="eager")(x), network(x))


def test_compiled_training_step(network: nn.Module) -> None:
    """The backward pass of a compiled network is autograd's own; in eager mode much of it is hand-written."""
    x, labels = patches().double(), torch.arange(BATCH) % CLASSES
    network.double().train()
    losses, gradients = [], []
    for run in (network, torch.compile(network, backend="aot_eager")):
        network.zero_grad()
        loss = F.cross_entropy(run(x), labels)
        loss.backward()
        losses.append(loss.detach())
        gradients.append(
            {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
        )
    torch.testing.assert_close(losses[0], losses[1])
    assert gradients[0].keys() == gradients[1].keys()
    for name, grad in gradients[0].items():
        assert torch.allclose(grad, gradients[1][name], rtol=1e-6, atol=1e-9), name


@torch.no_grad()
def test_bf16_autocast(network: nn.Module) -> None:
    x = patches()
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(x)
    assert_same(logits, network(x), BF16_TOLERANCE)


def test_bf16_autocast_gradients_are_near_those_of_float32(network: nn.Module) -> None:
    x, labels = patches(), torch.arange(BATCH) % CLASSES
    found = []
    for enabled in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = F.cross_entropy(network(x).float(), labels)
        loss.backward()
        found.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    assert found[1].isfinite().all()
    assert F.cosine_similarity(found[0], found[1], dim=0) > 0.99
