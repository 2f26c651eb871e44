"""Ranks in processes of their own against one process: shares, gradients, batch norm, errors."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hsi.config import Config
from hsi.errors import ConfigError, StorageError, TrainingError
from hsi.training.batches import check_shares
from hsi.training.distributed import MultiProcessWorld, World, share_of
from hsi.training.gradient import BatchGradient

WEIGHT = torch.tensor([0.2, 1.0, 3.0])
SIZES = (17, 16, 8, 5, 3, 2)  # the last ones are too few for four ranks


def network(norm):
    torch.manual_seed(0)
    layers = [nn.Conv2d(4, 6, 3), *([nn.BatchNorm2d(6)] if norm else []), nn.Tanh()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6, 3)).train()


def batch(count):
    draw = torch.Generator().manual_seed(count)
    return torch.randn(count, 4, 3, 3, generator=draw), torch.randint(0, 3, (count,), generator=draw)


def batch_gradient(model, weight, world=None, fit_memory=False):
    config = Config("own", "x", batch=16, label_smoothing=0.1, fit_memory=fit_memory)
    scaler = torch.amp.GradScaler(enabled=False)
    return BatchGradient(model, weight, scaler, torch.float32, config, print, world)


def steps(norm, weight, world=None, micro_batch=16):
    """Take one batch of each size; return loss, right answers and gradients of each, and the network."""
    model = network(norm)
    gradient = batch_gradient(model, weight, world)
    gradient.micro_batch.size = micro_batch
    found = []
    for size in SIZES:
        loss, right = gradient(*batch(size))
        found.append([loss, right.float(), *(p.grad.clone() for p in model.parameters())])
    return found, model


@given(count=st.integers(1, 9), length=st.integers(0, 60), least=st.integers(1, 3))
def test_shares_are_even_in_order_and_not_too_small(count, length, least):
    rows = np.arange(length)
    shares = [rows[share_of(number, count, length, least)] for number in range(count)]
    np.testing.assert_array_equal(np.concatenate(shares), rows)
    sizes = [len(share) for share in shares]
    assert sizes == sorted(sizes, reverse=True)
    if least == 1:
        assert sizes == [len(part) for part in np.array_split(rows, count)]
    if length >= least:
        assert all(size == 0 or size >= least for size in sizes)
        assert max(sizes) - min(size for size in sizes if size) <= 1


def test_one_process_has_all_rows():
    assert World().share(7) == slice(0, 7)
    assert World().is_rank_zero
    assert World().on_rank_zero(lambda: 5) == 5


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("count", [2, 4])
def test_shares_add_up_to_the_gradient_of_the_batch(ranked, count, weight):
    expected, _ = steps(False, weight)
    for found in ranked(count, lambda world: steps(False, weight, world)[0]):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_memory_may_run_out_on_one_rank_alone(ranked, monkeypatch):
    monkeypatch.setattr(
        "hsi.inference.predict._free_cached_memory", lambda: None
    )  # it takes longer than all else here
    expected, _ = steps(False, WEIGHT)

    def work(world):
        model = network(False)

        def fail(module, inputs):
            if world.rank == 1 and len(inputs[0]) > 3:
                raise MemoryError

        model[-1].register_forward_pre_hook(fail)
        gradient = batch_gradient(model, WEIGHT, world, fit_memory=True)
        loss, right = gradient(*batch(17))
        return gradient.micro_batch.size, [loss, right, *(p.grad for p in model.parameters())]

    answers = ranked(2, work)
    assert [size for size, _ in answers] == [16, 2]
    for _, found in answers:
        torch.testing.assert_close(found, expected[0], rtol=1e-5, atol=1e-6)


def test_batch_norm_is_that_of_micro_batches(ranked):
    expected, _ = steps(True, WEIGHT, micro_batch=6)

    def work(world):
        gradient = batch_gradient(network(True), WEIGHT, world)
        loss, right = gradient(*batch(17))  # shares of 6, 6 and 5 patches, as the micro-batches
        gradients = [p.grad for p in gradient.model.parameters()]
        own = copy.deepcopy(gradient.model[1].state_dict())
        world.average_batch_norms_(gradient.model)
        return [loss, right, *gradients], own, gradient.model[1].state_dict()

    answers = ranked(3, work)
    for found, _, _ in answers:
        torch.testing.assert_close(found, expected[0], rtol=1e-5, atol=1e-6)
    for name in ("running_mean", "running_var"):
        mean = torch.stack([own[name] for _, own, _ in answers]).mean(dim=0)
        for _, own, after in answers:
            torch.testing.assert_close(after[name], mean)
            assert torch.equal(after[name], answers[0][2][name])
            assert not torch.allclose(own[name], mean)


def test_prediction_is_shared_out_and_gathered_in_order(ranked):
    def work(world):
        taken, found = [], []
        for length in range(1, 10):
            pixels = np.arange(length) * 3

            def double(some):
                taken.append(some.tolist())
                return torch.from_numpy(some * 2.0)[:, None]

            found.append(world.map_pixels(double, pixels).flatten().tolist())
        return taken, found

    answers = ranked(4, work)
    for _, found in answers:
        assert found == [[6.0 * i for i in range(length)] for length in range(1, 10)]
    eight = [pixel for taken, _ in answers for pixel in taken[7]]
    assert eight == [3 * i for i in range(8)]


def test_once_happens_on_the_first_rank_and_fails_on_all(ranked):
    def work(world):
        done = []

        def act():
            done.append(world.rank)
            return "made"

        def full():
            raise StorageError("x.csv", "disk full", "go on")

        answer = world.on_rank_zero(act)
        try:
            world.on_rank_zero(full)
        except StorageError as error:
            return answer, done, str(error), error.path, error.reason
        return None

    answers = ranked(3, work)
    sentence = str(StorageError("x.csv", "disk full", "go on"))
    assert answers == [("made", [0] if n == 0 else [], sentence, "x.csv", "disk full") for n in range(3)]


def test_networks_that_differ_by_one_bit_are_found(ranked):
    def work(world):
        values = [torch.arange(6.0).view(2, 3).t(), torch.tensor(3)]
        world.check_same("The network", values)
        if world.rank == 1:
            values[0][0, 0] = 1e-45  # the smallest there is
        try:
            world.check_same("The network", values)
        except TrainingError as error:
            world.broadcast_(values)
            world.check_same("The network", values)
            return str(error), values
        return None

    for sentence, values in ranked(2, work):
        assert sentence.startswith("The network of rank 1 is not that of rank 0")
        assert torch.equal(values[0], torch.arange(6.0).view(2, 3).t())


def test_each_rank_has_its_own_dropout_and_has_it_again():
    def draws(number, epoch):
        torch.manual_seed(7)
        MultiProcessWorld(number, 3, number).seed_rank(7, epoch)
        return torch.rand(4).tolist()

    torch.manual_seed(7)
    untouched = torch.rand(4).tolist()
    assert draws(0, 5) == draws(0, 6) == untouched
    assert draws(1, 5) == draws(1, 5)
    others = {tuple(draws(number, epoch)) for number in (1, 2) for epoch in (5, 6)}
    assert len(others | {tuple(untouched)}) == 5


@given(batch=st.integers(1, 20), pixels=st.integers(1, 20), world=st.integers(1, 6))
def test_batches_too_small_to_share_are_refused(batch, pixels, world):
    if world == 1 or min(batch, pixels) >= 2 * world:
        check_shares(batch, pixels, world)
        return
    with pytest.raises(ConfigError, match=f"Each of {world} processes needs 2 patches of each batch"):
        check_shares(batch, pixels, world)


def test_devices_that_cannot_be_shared_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    MultiProcessWorld(3, 8, 3).set_device(torch.device("cpu"))
    with pytest.raises(ConfigError, match="use --nproc-per-node 2, or --device cpu"):
        MultiProcessWorld(6, 8, 2).set_device(torch.device("cuda"))
    with pytest.raises(ConfigError, match="'mps'; use --device cpu"):
        MultiProcessWorld(1, 2, 1).set_device(torch.device("mps"))
    taken = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    MultiProcessWorld(5, 8, 1).set_device(torch.device("cuda"))
    assert taken == [1]
