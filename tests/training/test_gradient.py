"""The gradient from micro-batches against that of the whole batch, also after a failed attempt."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from hsi.config import Config
from hsi.training.gradient import BatchGradient

WEIGHT = torch.tensor([0.2, 1.0, 3.0])


@pytest.fixture(scope="module", autouse=True)
def quick_retries():
    """Freeing cached memory takes longer than all else here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hsi.inference.predict._free_cached_memory", lambda: None)
        yield


def network(norm=False, dropout=0.0):
    torch.manual_seed(0)
    layers = [nn.Conv2d(4, 6, 3), *([nn.BatchNorm2d(6)] if norm else []), nn.Tanh(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6, 3)).train()


def batch_gradient(model, *, weight=None, smoothing=0.0, batch, fit_memory, messages=None):
    config = Config("own", "x", batch=batch, label_smoothing=smoothing, fit_memory=fit_memory)
    scaler = torch.amp.GradScaler(enabled=False)
    return BatchGradient(
        model, weight, scaler, torch.float32, config, (messages if messages is not None else []).append
    )


def gradients(model):
    return [parameter.grad.clone() for parameter in model.parameters()]


def narrow(model, fits):
    """Make a network fail for more than `fits` patches, in its last layer, as memory does."""

    def fail(module, inputs):
        if len(inputs[0]) > fits:
            torch.empty(2**55, dtype=torch.uint8)

    model[-1].register_forward_pre_hook(fail)
    return model


def batch(count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 4, 3, 3, generator=draw), torch.randint(0, 3, (count,), generator=draw)


@pytest.mark.parametrize("weight", [None, WEIGHT])
@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(2, 40),
    fits=st.integers(3, 40),
    smoothing=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 99),
)
def test_micro_batches_add_up_to_the_batch(weight, count, fits, smoothing, seed):
    patches, targets = batch(count, seed)
    model = network()
    logits = model(patches)
    loss = cross_entropy(logits, targets, weight=weight, label_smoothing=smoothing)
    loss.backward()
    expected, right = gradients(model), int((logits.argmax(dim=1) == targets).sum())

    gradient = batch_gradient(
        narrow(model, fits), weight=weight, smoothing=smoothing, batch=count, fit_memory=True
    )
    found, found_right = gradient(patches, targets)
    torch.testing.assert_close(found, loss.detach())
    assert int(found_right) == right
    torch.testing.assert_close(gradients(model), expected, rtol=1e-4, atol=1e-6)
    assert gradient.micro_batch.size == count if count <= fits else gradient.micro_batch.size <= fits


def test_a_whole_batch_is_bit_for_bit_the_plain_one():
    patches, targets = batch(17)
    for weight in (None, WEIGHT):
        model = network(norm=True)
        plain = copy.deepcopy(model)
        loss = cross_entropy(plain(patches), targets, weight=weight)
        loss.backward()
        found, _ = batch_gradient(model, weight=weight, batch=16, fit_memory=False)(patches, targets)
        assert torch.equal(found, loss)
        assert all(torch.equal(a, b) for a, b in zip(gradients(model), gradients(plain), strict=True))


def test_a_failed_attempt_leaves_no_trace():
    patches, targets = batch(24)
    messages = []
    model = network(norm=True, dropout=0.5)
    gradient = batch_gradient(narrow(copy.deepcopy(model), 6), batch=24, fit_memory=True, messages=messages)
    torch.manual_seed(5)
    gradient(patches, targets)

    by_hand = copy.deepcopy(model)
    torch.manual_seed(5)
    for some, their in zip(patches.split(6), targets.split(6), strict=True):
        (cross_entropy(by_hand(some), their) * 6 / 24).backward()
    torch.testing.assert_close(gradients(gradient.model), gradients(by_hand))
    ours, theirs = gradient.model[1], by_hand[1]
    assert int(ours.num_batches_tracked) == 4
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    (message,) = messages
    assert "each batch of 24 patches is now split into micro-batches of at most 6" in message
    assert "Batch norm uses the statistics of a micro-batch" in message
    gradient(patches, targets)
    assert len(messages) == 1


def test_the_note_on_batch_norm_is_only_for_networks_with_it():
    messages = []
    batch_gradient(narrow(network(), 6), batch=24, fit_memory=True, messages=messages)(*batch(24))
    assert "Batch norm" not in messages[0]


def test_no_micro_batch_is_a_single_patch():
    for count in range(2, 12):
        seen = []
        model = narrow(network(norm=True), 3)
        model[0].register_forward_pre_hook(lambda module, inputs, seen=seen: seen.append(len(inputs[0])))
        batch_gradient(model, batch=count, fit_memory=True)(*batch(count))
        assert min(seen) >= 2


def test_without_fit_memory_the_memory_error_is_raised():
    gradient = batch_gradient(narrow(network(), 6), batch=24, fit_memory=False)
    with pytest.raises(RuntimeError, match="allocate memory"):
        gradient(*batch(24))
    assert gradient.micro_batch.size == 24
