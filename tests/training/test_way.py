"""How steps are computed: what is measured, what is chosen, and that a compiled network trains the same."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest
import torch
from torch import nn

import hsi
from hsi.errors import ConfigError
from hsi.models.memory_format import format_of
from hsi.runs.measured import measured_once
from hsi.training.settle import settle
from hsi.training.way import Cost, Way, choose_way, step_trial

GPU, CPU = torch.device("cuda"), torch.device("cpu")
BF16, FLOAT = torch.bfloat16, torch.float32


@pytest.fixture
def config():
    return settle("cnn1d", "demo", patch=7, pca=8, batch=4)


@pytest.fixture
def bf16_gpu(monkeypatch):
    """As on a GPU that has bfloat16; nothing is computed there."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)


class Trials:
    """Tells costs instead of measuring them, and what was asked."""

    def __init__(self, costs):
        self.costs, self.asked = costs, []

    def __call__(self, way):
        self.asked.append(way)
        return self.costs.get(way)


def choose(config, device, costs, steps=1000, formats=()):
    trials, said = Trials(costs), []
    return choose_way(config, device, formats, steps, trials, said.append), trials.asked, said


OTHER = ("contiguous",)
CONTIGUOUS = Way(FLOAT, memory_format="contiguous")
PLAIN = {Way(BF16): Cost(0.5, 1.0), Way(FLOAT): Cost(0.2, 1.0)}


@pytest.mark.usefixtures("bf16_gpu")
class TestOnAGpu:
    def test_the_quickest_precision_wins_and_compiling_where_it_saves_more_than_it_takes(self, config):
        compiled = Way(FLOAT, compiled=True)
        for warm_up, best in ((99.0, compiled), (101.0, Way(FLOAT))):
            way, asked, said = choose(config, GPU, {**PLAIN, compiled: Cost(0.1, warm_up)})
            assert way == best
            assert asked == [Way(BF16), Way(FLOAT), compiled]
            assert said == [
                f"Steps are computed in {best}: the quickest here by measurement (--no-tune: without)."
            ]

    def test_a_short_training_does_not_try_to_compile(self, config):
        way, asked, _ = choose(config, GPU, PLAIN, steps=500)  # 101 s
        assert way == Way(FLOAT)
        assert asked == [Way(BF16), Way(FLOAT)]

    def test_what_does_not_work_is_not_chosen(self, config):
        assert choose(config, GPU, {Way(BF16): Cost(9.0, 9.0)})[0] == Way(BF16)
        assert choose(config, GPU, {Way(FLOAT): Cost(9.0, 9.0)})[0] == Way(FLOAT)
        assert choose(config, GPU, {})[0] == Way(BF16)

    def test_what_the_config_settles_is_not_measured(self, config):
        for settled in ({"tune": False}, {"tune": False, "compile": "off"}):
            way, asked, said = choose(dataclasses.replace(config, **settled), GPU, PLAIN)
            assert (way, asked, said) == (Way(BF16), [], [])
        way, asked, _ = choose(dataclasses.replace(config, precision="bf16", compile="off"), GPU, PLAIN)
        assert (way, asked) == (Way(BF16), [Way(BF16)])

    def test_nothing_is_measured_for_no_steps(self, config):
        assert choose(config, GPU, PLAIN, steps=0)[:2] == (Way(BF16), [])
        assert choose(config, GPU, PLAIN, steps=0, formats=OTHER)[:2] == (Way(BF16), [])

    def test_the_quickest_memory_format_wins_with_each_precision(self, config):
        every = [Way(BF16), Way(BF16, memory_format="contiguous"), Way(FLOAT), CONTIGUOUS]
        for best in every:
            costs = {way: Cost(0.09 if way == best else 0.1, 1.0) for way in every}
            way, asked, said = choose(config, GPU, costs, formats=OTHER)
            assert (way, asked) == (best, every)
            assert said == [
                f"Steps are computed in {best}: the quickest here by measurement (--no-tune: without)."
            ]
        assert choose(config, GPU, dict.fromkeys(every, Cost(0.1, 1.0)), formats=OTHER)[0] == Way(BF16)

    def test_compiling_is_tried_in_the_format_that_was_quickest(self, config):
        compiled = dataclasses.replace(CONTIGUOUS, compiled=True)
        costs = {**PLAIN, CONTIGUOUS: Cost(0.15, 1.0), compiled: Cost(0.1, 20.0)}
        way, asked, _ = choose(config, GPU, costs, formats=OTHER)
        assert way == compiled
        assert asked[-1] == compiled
        assert len(asked) == 5

    def test_a_format_that_does_not_work_is_not_chosen(self, config):
        assert choose(config, GPU, PLAIN, formats=OTHER)[0] == Way(FLOAT)

    def test_a_settled_precision_leaves_the_format_open_and_no_tune_settles_all(self, config):
        settled = dataclasses.replace(config, precision="float32", compile="off")
        costs = {**PLAIN, CONTIGUOUS: Cost(0.1, 1.0)}
        assert choose(settled, GPU, costs, formats=OTHER)[:2] == (CONTIGUOUS, [Way(FLOAT), CONTIGUOUS])
        still = dataclasses.replace(settled, tune=False)
        assert choose(still, GPU, costs, formats=OTHER) == (Way(FLOAT), [], [])


def test_a_cpu_measures_nothing_and_compiles_when_told_to(config):
    assert choose(config, CPU, {}) == (Way(FLOAT), [], [])
    assert choose(config, CPU, {CONTIGUOUS: Cost(0.0, 0.0)}, formats=OTHER) == (Way(FLOAT), [], [])
    compiled = Way(FLOAT, compiled=True)
    told = dataclasses.replace(config, compile="on")
    way, asked, said = choose(told, CPU, {compiled: Cost(1.0, 83.4)})
    assert (way, asked) == (compiled, [compiled])
    assert said == ["The network is compiled; the first step took 83 s for that."]
    assert choose(told, CPU, {})[::2] == (
        Way(FLOAT),
        ["The network cannot be compiled here; it runs as it is."],
    )
    with pytest.raises(ConfigError, match="precision bf16 needs a GPU"):
        choose(dataclasses.replace(config, precision="bf16"), CPU, {})


def test_a_way_has_a_name():
    ways = (Way(BF16), Way(FLOAT, compiled=True), CONTIGUOUS, Way(BF16, True, "channels_last_3d"))
    assert list(map(str, ways)) == [
        "bfloat16",
        "float32, compiled",
        "float32, contiguous",
        "bfloat16, channels_last_3d, compiled",
    ]


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr("hsi.runs.measured.default_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "measured"


@pytest.fixture
def small_network():
    return hsi.build_model("densenet3d", bands=8, classes=3, patch=7, layers=(1, 1, 1), growth=(4, 4, 4))


def test_a_trial_of_a_format_is_kept_apart_and_an_older_one_without_is_still_read(
    config, own_cache, small_network
):
    old = {
        "what": "training step",
        "model": "cnn1d",
        "model_options": {},
        "weights": sum(weights.numel() for weights in small_network.parameters()),
        "bands": 8,
        "patch": 7,
        "batch": 4,
        "way": "float32",
    }
    measured_once(old, CPU, lambda: {"step": 2.0, "warm_up": 3.0})
    trial = step_trial(small_network, 8, config, CPU)
    assert trial(Way(FLOAT)) == Cost(2.0, 3.0)
    cost = trial(CONTIGUOUS)
    assert cost not in (None, Cost(2.0, 3.0))
    assert trial(CONTIGUOUS) == cost
    facts = [json.loads(path.read_text())["facts"] for path in own_cache.iterdir()]
    assert sorted(each["way"] for each in facts) == ["float32", "float32, contiguous"]
    assert format_of(small_network) == "channels_last_3d"


@pytest.mark.usefixtures("own_cache")
def test_a_network_that_fails_in_another_format_keeps_its_own(config, small_network):
    class Picky(type(small_network)):
        def forward(self, x):
            if format_of(self) == "contiguous":
                raise RuntimeError("view size is not compatible")
            return super().forward(x)

    small_network.__class__ = Picky
    trial = step_trial(small_network, 8, config, CPU)
    assert trial(CONTIGUOUS) is None
    assert trial(Way(FLOAT)) is not None


@pytest.mark.usefixtures("own_cache")
def test_a_trial_leaves_the_network_alone(config):
    network = hsi.build_model("cnn1d", bands=8, classes=3, patch=7).eval()
    before = copy.deepcopy(network.state_dict())
    cost = step_trial(network, 8, config, CPU)(Way(FLOAT))
    assert cost is not None
    assert 0 < cost.step <= cost.warm_up
    assert cost.of(10) == cost.warm_up + 10 * cost.step
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weights.grad is None for weights in network.parameters())
    assert step_trial(network, 8, config, CPU)(Way(FLOAT)) == cost  # kept


@pytest.mark.usefixtures("own_cache")
def test_a_network_that_cannot_be_compiled_costs_nothing_and_other_errors_are_told(config, monkeypatch):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            raise RuntimeError("broken")

    network = hsi.build_model("cnn1d", bands=8, classes=3, patch=7)
    with pytest.raises(RuntimeError, match="broken"):
        step_trial(Broken(), 8, config, CPU)(Way(FLOAT))
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: Broken())
    assert step_trial(network, 8, config, CPU)(Way(FLOAT, compiled=True)) is None


@pytest.mark.usefixtures("own_cache")
def test_a_compiled_network_trains_the_same(tmp_path, monkeypatch):
    """Through the compiler's front end, without its code: that takes minutes on a CPU."""
    real, made = torch.compile, []

    def quick(network, dynamic):
        made.append(network)
        return real(network, dynamic=dynamic, backend="eager")

    monkeypatch.setattr(torch, "compile", quick)
    options = {
        "patch": 7,
        "pca": 8,
        "epochs": 2,
        "train": 0.02,
        "val": 0.01,
        "scheme": "random",
        "device": "cpu",
    }
    plain = hsi.train("cnn1d", "demo", out=tmp_path / "plain", **options)
    assert not made
    compiled = hsi.train("cnn1d", "demo", out=tmp_path / "compiled", compile="on", **options)
    assert len(made) == 2  # the trial's copy and the network
    assert (compiled.metrics["precision"], compiled.metrics["compiled"]) == ("float32", True)
    assert (plain.metrics["precision"], plain.metrics["compiled"]) == ("float32", False)
    for one, other in zip(plain.history, compiled.history, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-5)
    assert plain.metrics["test"]["oa"] == pytest.approx(compiled.metrics["test"]["oa"], abs=0.002)
