"""EKGNet's convolution against each sample convolved alone with its own mixed kernel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from hsi.errors import ModelError
from hsi.models.ekgnet import ExpertKernelConv3d, PointwiseLinear, ekgnet


def random_conv(*sizes: object, **options: object) -> ExpertKernelConv3d:
    """A float64 convolution whose mapper and temperature tell samples apart, in evaluation mode."""
    torch.manual_seed(0)
    conv = ExpertKernelConv3d(*sizes, **{"temperature": 4.0, **options}).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in conv.named_parameters():
            if name != "log_temperature":
                parameter.normal_()
        for norm in (conv.mapper.norm1, conv.mapper.norm2, conv.mapper.norm3):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return conv.eval()


def plain_alpha(conv: ExpertKernelConv3d, x: Tensor) -> Tensor:
    """Softmax(f_map(g) / tau) written out for evaluation mode."""

    def norm(h: Tensor, layer: torch.nn.BatchNorm1d) -> Tensor:
        assert layer.running_mean is not None
        assert layer.running_var is not None
        return (h - layer.running_mean) / (layer.running_var + layer.eps).sqrt() * layer.weight + layer.bias

    def gelu(h: Tensor) -> Tensor:
        return h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))

    def linear(h: Tensor, layer: torch.nn.Conv3d) -> Tensor:
        assert layer.bias is not None
        return h @ layer.weight[:, :, 0, 0, 0].T + layer.bias

    f = conv.mapper
    g = x.flatten(2).mean(2)
    h = linear(gelu(norm(linear(gelu(norm(g, f.norm1)), f.linear1), f.norm2)), f.linear2) + g
    logits = linear(norm(h, f.norm3), f.linear3)
    tau = torch.exp(conv.log_temperature) + 1e-3
    return torch.softmax(logits / tau, dim=1)


def plain_conv(conv: ExpertKernelConv3d, x: Tensor, alpha: Tensor) -> Tensor:
    samples = []
    for sample, weights in zip(x, alpha, strict=True):
        kernel = sum(weight * expert for weight, expert in zip(weights, conv.weight, strict=True))
        bias = sum(weight * expert for weight, expert in zip(weights, conv.bias, strict=True))
        samples.append(F.conv3d(sample[None], kernel, bias, conv.stride, conv.padding))
    return torch.cat(samples)


axis = st.integers(1, 4)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 3),
    channels=st.integers(1, 5),
    out=st.integers(1, 4),
    experts=st.integers(1, 4),
    size=st.tuples(axis, axis, axis),
    kernel=st.sampled_from([1, 3, (1, 3, 3), (3, 1, 1)]),
    stride=st.sampled_from([1, 2, (2, 1, 1)]),
    extra=st.integers(0, 1),
    last=st.booleans(),
)
def test_equals_each_sample_convolved_with_its_own_kernel(
    n: int,
    channels: int,
    out: int,
    experts: int,
    size: tuple[int, int, int],
    kernel: int | tuple[int, int, int],
    stride: int | tuple[int, int, int],
    extra: int,
    last: bool,
) -> None:
    padding = (kernel // 2 if isinstance(kernel, int) else max(kernel) // 2) + extra
    conv = random_conv(channels, out, kernel, stride, padding, experts=experts)
    x = torch.randn(n, channels, *size, dtype=torch.float64)
    if last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    alpha = plain_alpha(conv, x)
    torch.testing.assert_close(conv.expert_weights(x), alpha)
    torch.testing.assert_close(conv(x), plain_conv(conv, x, alpha))


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (3, 2, 1), (1, 2, 0)])
def test_gradcheck_input_and_parameters_in_training(kernel: int, stride: int, padding: int) -> None:
    conv = random_conv(3, 2, kernel, stride, padding).train()
    names = [name for name, _ in conv.named_parameters()]
    x = torch.randn(3, 3, 4, 3, 2, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(conv, dict(zip(names, parameters, strict=True)), x)
        return result

    assert torch.autograd.gradcheck(run, (x, *conv.parameters()), fast_mode=True)


def test_high_temperature_is_one_convolution_with_the_mean_kernel() -> None:
    conv = random_conv(4, 3, 3, 1, 1, temperature=1e9)
    x = torch.randn(3, 4, 5, 3, 2, dtype=torch.float64)
    expected = F.conv3d(x, conv.weight.mean(0), conv.bias.mean(0), padding=1)
    torch.testing.assert_close(conv(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("k", range(4))
def test_one_hot_weights_are_one_expert(k: int) -> None:
    conv = random_conv(4, 3)
    with torch.no_grad():
        conv.mapper.linear3.weight.zero_()
        assert conv.mapper.linear3.bias is not None
        conv.mapper.linear3.bias.copy_(1e6 * F.one_hot(torch.tensor(k), 4))
    x = torch.randn(2, 4, 3, 3, 2, dtype=torch.float64)
    torch.testing.assert_close(conv(x), F.conv3d(x, conv.weight[k], conv.bias[k]))


def test_two_samples_equal_themselves_alone_in_evaluation() -> None:
    conv = random_conv(4, 3)
    x = torch.randn(2, 4, 3, 3, 2, dtype=torch.float64)
    alpha = conv.expert_weights(x)
    assert (alpha[0] - alpha[1]).abs().max() > 0.01  # the samples do have different kernels
    torch.testing.assert_close(conv(x), torch.cat([conv(x[:1]), conv(x[1:])]))


def test_expert_weights_sum_to_one() -> None:
    alpha = random_conv(4, 3, experts=5).expert_weights(torch.randn(6, 4, 3, 3, 2, dtype=torch.float64))
    assert alpha.shape == (6, 5)
    assert alpha.min() >= 0
    torch.testing.assert_close(alpha.sum(1), torch.ones(6, dtype=torch.float64))


@pytest.mark.parametrize("start", [0.01, 1.0, 34.0, 1e6])
def test_temperature_starts_at_the_option_and_stays_positive(start: float) -> None:
    conv = ExpertKernelConv3d(2, 2, temperature=start)
    assert conv.temperature.item() == pytest.approx(start, rel=1e-4)
    with torch.no_grad():
        conv.log_temperature.fill_(-1e4)
    assert conv.temperature.item() == pytest.approx(1e-3)


def test_temperature_is_trained() -> None:
    conv = random_conv(3, 2).train()
    conv(torch.randn(4, 3, 2, 2, 2, dtype=torch.float64)).square().sum().backward()
    assert conv.log_temperature.grad is not None
    assert conv.log_temperature.grad.abs() > 0


def test_a_step_of_adam_moves_the_temperature_by_a_share_of_itself() -> None:
    for start in (1.0, 34.0):
        conv = random_conv(3, 2, temperature=start).train()
        optimiser = torch.optim.Adam(conv.parameters(), lr=0.01)
        conv(torch.randn(4, 3, 2, 2, 2, dtype=torch.float64)).square().sum().backward()
        optimiser.step()
        assert abs(math.log(conv.temperature.item() / start)) == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("tau", [0.002, 0.7, 34.0])
def test_weights_of_earlier_versions_keep_their_temperature(tau: float) -> None:
    """tau was the softplus of a parameter, plus 0.001; its inverse is log(exp(tau) - 1)."""
    conv = random_conv(4, 3, temperature=5.0)
    state = conv.state_dict()
    del state["log_temperature"]
    start = tau - 1e-3
    state["temperature_logit"] = torch.tensor(start + math.log(-math.expm1(-start)), dtype=torch.float64)
    model = torch.nn.Sequential(random_conv(4, 3))
    model.load_state_dict({f"0.{name}": value for name, value in state.items()})
    assert model[0].temperature.item() == pytest.approx(tau, rel=1e-9)
    assert "0.temperature_logit" not in model.state_dict()
    state["unknown"] = torch.zeros(())
    with pytest.raises(RuntimeError, match="unknown"):
        conv.load_state_dict(state)


def test_initialisation() -> None:
    torch.manual_seed(0)
    normal = ExpertKernelConv3d(64, 32)
    assert normal.weight.shape == (4, 32, 64, 1, 1, 1)
    assert normal.weight.std().item() == pytest.approx(1, rel=0.05)
    assert normal.bias.abs().max() == 0
    kaiming = ExpertKernelConv3d(64, 32, 3, init="kaiming")
    for expert in kaiming.weight:
        assert expert.std().item() == pytest.approx(math.sqrt(2 / (27 * 32)), rel=0.05)


def test_the_backbones_initialisation_reaches_the_mapper_and_not_the_experts() -> None:
    torch.manual_seed(0)
    net = ekgnet(20, 3, 7, layers=(1, 1, 1))
    convs = [m for m in net.modules() if isinstance(m, ExpertKernelConv3d)]
    assert len(convs) == 3
    last = convs[-1]
    channels = last.in_channels
    assert last.mapper.linear1.weight.std().item() == pytest.approx(math.sqrt(2 / channels), rel=0.15)
    assert last.weight.std().item() == pytest.approx(1, rel=0.05)


def test_at_the_start_experts_are_nearly_but_not_exactly_alike() -> None:
    torch.manual_seed(0)
    net = ekgnet(60, 5, 7)
    spread = []
    for module in net.modules():
        if isinstance(module, ExpertKernelConv3d):
            alpha = module.expert_weights(torch.randn(8, module.in_channels, 6, 2, 2))
            spread.append((alpha - 0.25).abs().max().item())
    assert 1e-3 < max(spread) < 0.3


def test_traces_whole_with_gradients() -> None:
    conv = random_conv(4, 3).train()
    x = torch.randn(3, 4, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    traced = torch.compile(conv, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(
        torch.autograd.grad(traced(x).square().sum(), x), torch.autograd.grad(conv(x).square().sum(), x)
    )


@pytest.mark.parametrize("kernel", [1, 3])
def test_output_is_channels_last_and_the_same_bits_twice(kernel: int) -> None:
    conv = ExpertKernelConv3d(8, 6, kernel, padding=kernel // 2)
    x = torch.randn(2, 8, 3, 3, 2).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    first, second = conv(x), conv(x)
    assert first.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(first, second)
    grads = [torch.autograd.grad(y.square().sum(), x)[0] for y in (first, second)]
    assert torch.equal(*grads)


def test_training_on_one_sample_is_refused_and_evaluating_it_is_not() -> None:
    conv = ExpertKernelConv3d(4, 3)
    x = torch.randn(1, 4, 3, 3, 2)
    with pytest.raises(ModelError, match="batch of one sample"):
        conv(x)
    assert conv.eval()(x).shape == (1, 3, 3, 3, 2)


@pytest.mark.parametrize(
    ("sizes", "options", "words"),
    [
        ((0, 2), {}, "at least 1"),
        ((2, 2), {"experts": 0}, "at least 1"),
        ((2, 2), {"temperature": 0.0}, "above 0.001"),
        ((2, 2), {"temperature": math.nan}, "above 0.001"),
        ((2, 2), {"init": "xavier"}, "init must be one of"),
        ((2, 2, 0), {}, "kernel_size must be"),
        ((2, 2, (3, 3)), {}, "kernel_size must be"),
        ((2, 2, 1, 0), {}, "stride must be"),
        ((2, 2, 1, 1, -1), {}, "padding must be"),
    ],
)
def test_bad_options_are_named(sizes: tuple[object, ...], options: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        ExpertKernelConv3d(*sizes, **options)  # type: ignore[arg-type]


def test_bad_input_is_named() -> None:
    with pytest.raises(ModelError, match=r"\(N, 4, D, H, W\)"):
        ExpertKernelConv3d(4, 2)(torch.randn(2, 3, 3, 3, 3))
    with pytest.raises(ModelError, match="larger than the padded input"):
        ExpertKernelConv3d(4, 2, 3)(torch.randn(2, 4, 5, 2, 5))


def test_a_pointwise_linear_is_a_linear_layer():
    layer = PointwiseLinear(5, 3)
    x = torch.randn(4, 5)
    expected = x.double().numpy() @ layer.weight.detach().double().numpy().reshape(3, 5).T
    np.testing.assert_allclose(layer(x).detach(), expected, atol=1e-6)  # the bias starts at zero
    np.testing.assert_allclose(layer(x).detach(), layer.double()(x.double()).detach(), atol=1e-6)
    assert layer.weight.shape == (3, 5, 1, 1, 1)
