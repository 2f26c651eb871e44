"""How steps are computed: what is measured, what is chosen, and that a compiled network trains the same."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest
import torch
from torch import nn

import hsi
from hsi.config import resolve_config
from hsi.errors import ConfigError
from hsi.io.measurements import measured_once
from hsi.models.device import format_of
from hsi.training.autotune import Cost, ExecutionPlan, choose_plan, step_trial

GPU, CPU = torch.device("cuda"), torch.device("cpu")
BF16, FLOAT = torch.bfloat16, torch.float32


@pytest.fixture
def config():
    return resolve_config({"model": "cnn1d", "dataset": "demo", "patch": 7, "pca": 8, "batch": 4})


@pytest.fixture
def bf16_gpu(monkeypatch):
    """As on a GPU that has bfloat16; nothing is computed there."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)


class Trials:
    """Tells costs instead of measuring them, and what was asked."""

    def __init__(self, costs):
        self.costs, self.asked = costs, []

    def __call__(self, plan):
        self.asked.append(plan)
        return self.costs.get(plan)


def choose(config, device, costs, steps=1000, formats=()):
    trials, said = Trials(costs), []
    return choose_plan(config, device, formats, steps, trials, said.append), trials.asked, said


OTHER = ("contiguous",)
CONTIGUOUS = ExecutionPlan(FLOAT, memory_format="contiguous")
PLAIN = {ExecutionPlan(BF16): Cost(0.5, 1.0), ExecutionPlan(FLOAT): Cost(0.2, 1.0)}


@pytest.mark.usefixtures("bf16_gpu")
class TestOnAGpu:
    def test_the_quickest_precision_wins_and_compiling_where_it_saves_more_than_it_takes(self, config):
        compiled = ExecutionPlan(FLOAT, compiled=True)
        for warm_up, best in ((99.0, compiled), (101.0, ExecutionPlan(FLOAT))):
            plan, asked, said = choose(config, GPU, {**PLAIN, compiled: Cost(0.1, warm_up)})
            assert plan == best
            assert asked == [ExecutionPlan(BF16), ExecutionPlan(FLOAT), compiled]
            assert said == [
                f"Steps are computed in {best}: the quickest here by measurement (--no-tune: without)."
            ]

    def test_a_short_training_does_not_try_to_compile(self, config):
        plan, asked, _ = choose(config, GPU, PLAIN, steps=500)  # 101 s
        assert plan == ExecutionPlan(FLOAT)
        assert asked == [ExecutionPlan(BF16), ExecutionPlan(FLOAT)]

    def test_what_does_not_work_is_not_chosen(self, config):
        assert choose(config, GPU, {ExecutionPlan(BF16): Cost(9.0, 9.0)})[0] == ExecutionPlan(BF16)
        assert choose(config, GPU, {ExecutionPlan(FLOAT): Cost(9.0, 9.0)})[0] == ExecutionPlan(FLOAT)
        assert choose(config, GPU, {})[0] == ExecutionPlan(BF16)

    def test_what_the_config_decides_is_not_measured(self, config):
        for resolved in ({"tune": False}, {"tune": False, "compile": "off"}):
            plan, asked, said = choose(config.replace(**resolved), GPU, PLAIN)
            assert (plan, asked, said) == (ExecutionPlan(BF16), [], [])
        plan, asked, _ = choose(config.replace(precision="bf16", compile="off"), GPU, PLAIN)
        assert (plan, asked) == (ExecutionPlan(BF16), [ExecutionPlan(BF16)])

    def test_nothing_is_measured_for_no_steps(self, config):
        assert choose(config, GPU, PLAIN, steps=0)[:2] == (ExecutionPlan(BF16), [])
        assert choose(config, GPU, PLAIN, steps=0, formats=OTHER)[:2] == (ExecutionPlan(BF16), [])

    def test_the_quickest_memory_format_wins_with_each_precision(self, config):
        every = [
            ExecutionPlan(BF16),
            ExecutionPlan(BF16, memory_format="contiguous"),
            ExecutionPlan(FLOAT),
            CONTIGUOUS,
        ]
        for best in every:
            costs = {plan: Cost(0.09 if plan == best else 0.1, 1.0) for plan in every}
            plan, asked, said = choose(config, GPU, costs, formats=OTHER)
            assert (plan, asked) == (best, every)
            assert said == [
                f"Steps are computed in {best}: the quickest here by measurement (--no-tune: without)."
            ]
        assert choose(config, GPU, dict.fromkeys(every, Cost(0.1, 1.0)), formats=OTHER)[0] == ExecutionPlan(
            BF16
        )

    def test_compiling_is_tried_in_the_format_that_was_quickest(self, config):
        compiled = dataclasses.replace(CONTIGUOUS, compiled=True)
        costs = {**PLAIN, CONTIGUOUS: Cost(0.15, 1.0), compiled: Cost(0.1, 20.0)}
        plan, asked, _ = choose(config, GPU, costs, formats=OTHER)
        assert plan == compiled
        assert asked[-1] == compiled
        assert len(asked) == 5

    def test_a_format_that_does_not_work_is_not_chosen(self, config):
        assert choose(config, GPU, PLAIN, formats=OTHER)[0] == ExecutionPlan(FLOAT)

    def test_a_given_precision_leaves_the_format_open_and_no_tune_leaves_nothing(self, config):
        resolved = config.replace(precision="float32", compile="off")
        costs = {**PLAIN, CONTIGUOUS: Cost(0.1, 1.0)}
        assert choose(resolved, GPU, costs, formats=OTHER)[:2] == (
            CONTIGUOUS,
            [ExecutionPlan(FLOAT), CONTIGUOUS],
        )
        still = resolved.replace(tune=False)
        assert choose(still, GPU, costs, formats=OTHER) == (ExecutionPlan(FLOAT), [], [])


def test_a_cpu_measures_nothing_and_compiles_when_told_to(config):
    assert choose(config, CPU, {}) == (ExecutionPlan(FLOAT), [], [])
    assert choose(config, CPU, {CONTIGUOUS: Cost(0.0, 0.0)}, formats=OTHER) == (ExecutionPlan(FLOAT), [], [])
    compiled = ExecutionPlan(FLOAT, compiled=True)
    told = config.replace(compile="on")
    plan, asked, said = choose(told, CPU, {compiled: Cost(1.0, 83.4)})
    assert (plan, asked) == (compiled, [compiled])
    assert said == ["The network is compiled; the first step took 83 s for that."]
    assert choose(told, CPU, {})[::2] == (
        ExecutionPlan(FLOAT),
        ["The network cannot be compiled here; it runs as it is."],
    )
    with pytest.raises(ConfigError, match="precision bf16 needs a GPU"):
        choose(config.replace(precision="bf16"), CPU, {})


def test_a_way_has_a_name():
    ways = (
        ExecutionPlan(BF16),
        ExecutionPlan(FLOAT, compiled=True),
        CONTIGUOUS,
        ExecutionPlan(BF16, True, "channels_last_3d"),
    )
    assert list(map(str, ways)) == [
        "bfloat16",
        "float32, compiled",
        "float32, contiguous",
        "bfloat16, channels_last_3d, compiled",
    ]


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr("hsi.io.measurements.cache_folder", lambda: tmp_path / "cache")
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
    measured_once(old, "cpu", lambda: {"step": 2.0, "warm_up": 3.0})
    trial = step_trial(small_network, 8, config, CPU)
    assert trial(ExecutionPlan(FLOAT)) == Cost(2.0, 3.0)
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
    assert trial(ExecutionPlan(FLOAT)) is not None


@pytest.mark.usefixtures("own_cache")
def test_a_trial_leaves_the_network_alone(config):
    network = hsi.build_model("cnn1d", bands=8, classes=3, patch=7).eval()
    before = copy.deepcopy(network.state_dict())
    cost = step_trial(network, 8, config, CPU)(ExecutionPlan(FLOAT))
    assert cost is not None
    assert 0 < cost.step <= cost.warm_up
    assert cost.of(10) == cost.warm_up + 10 * cost.step
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weights.grad is None for weights in network.parameters())
    assert step_trial(network, 8, config, CPU)(ExecutionPlan(FLOAT)) == cost  # kept


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
        step_trial(Broken(), 8, config, CPU)(ExecutionPlan(FLOAT))
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: Broken())
    assert step_trial(network, 8, config, CPU)(ExecutionPlan(FLOAT, compiled=True)) is None


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
