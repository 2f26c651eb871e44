"""How steps are computed: what is chosen, what is measured, and that a compiled network trains the same."""

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
    """Pretend that there is a GPU with bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)


def choose(config, device, costs, steps=1000, formats=()):
    """Return the chosen plan and the messages, with costs in place of a benchmark; no other plan works."""
    messages = []
    return choose_plan(config, device, formats, steps, costs.get, messages.append), messages


def never(plan):
    raise AssertionError(f"{plan} was measured")


OTHER = ("contiguous",)
CONTIGUOUS = ExecutionPlan(FLOAT, memory_format="contiguous")
PLAIN = {ExecutionPlan(BF16): Cost(0.5, 1.0), ExecutionPlan(FLOAT): Cost(0.2, 1.0)}


@pytest.mark.usefixtures("bf16_gpu")
class TestOnAGpu:
    @pytest.mark.parametrize(("warm_up", "compiles"), [(99.0, True), (101.0, False)])
    def test_it_compiles_where_that_saves_more_time_than_it_takes(self, config, warm_up, compiles):
        compiled = ExecutionPlan(FLOAT, compiled=True)
        plan, messages = choose(config, GPU, {**PLAIN, compiled: Cost(0.1, warm_up)})
        assert plan == ExecutionPlan(FLOAT, compiled=compiles)
        name = "float32, compiled" if compiles else "float32"
        assert messages == [f"Using {name}: fastest in a short benchmark on this GPU (--no-tune skips it)."]

    def test_a_short_training_is_not_compiled_at_all(self, config):
        compiled = ExecutionPlan(FLOAT, compiled=True)
        assert choose(config, GPU, {**PLAIN, compiled: Cost(0.0, 0.0)}, steps=500)[0] == ExecutionPlan(FLOAT)

    @pytest.mark.parametrize("precision", [BF16, FLOAT])
    def test_a_plan_that_does_not_work_is_not_chosen(self, config, precision):
        assert choose(config, GPU, {ExecutionPlan(precision): Cost(9.0, 9.0)})[0] == ExecutionPlan(precision)

    def test_without_any_working_plan_the_default_is_used(self, config):
        assert choose(config, GPU, {}) == (ExecutionPlan(BF16), [])

    @pytest.mark.parametrize("options", [{"tune": False}, {"tune": False, "compile": "off"}])
    def test_without_tune_nothing_is_measured(self, config, options):
        messages = []
        plan = choose_plan(config.replace(**options), GPU, OTHER, 1000, never, messages.append)
        assert (plan, messages) == (ExecutionPlan(BF16), [])

    def test_nothing_is_measured_for_no_steps(self, config):
        assert choose_plan(config, GPU, OTHER, 0, never, never) == ExecutionPlan(BF16)

    def test_a_given_precision_is_kept(self, config):
        options = config.replace(precision="bf16", compile="off")
        assert choose(options, GPU, PLAIN) == (ExecutionPlan(BF16), [])

    def test_the_fastest_memory_format_wins_with_each_precision(self, config):
        plans = [*PLAIN, ExecutionPlan(BF16, memory_format="contiguous"), CONTIGUOUS]
        for best in plans:
            costs = {plan: Cost(0.09 if plan == best else 0.1, 1.0) for plan in plans}
            assert choose(config, GPU, costs, formats=OTHER)[0] == best
        same = dict.fromkeys(plans, Cost(0.1, 1.0))
        assert choose(config, GPU, same, formats=OTHER)[0] == ExecutionPlan(BF16)

    def test_it_compiles_in_the_fastest_format(self, config):
        compiled = dataclasses.replace(CONTIGUOUS, compiled=True)
        costs = {**PLAIN, CONTIGUOUS: Cost(0.15, 1.0), compiled: Cost(0.1, 20.0)}
        assert choose(config, GPU, costs, formats=OTHER)[0] == compiled

    def test_a_format_that_does_not_work_is_not_chosen(self, config):
        assert choose(config, GPU, PLAIN, formats=OTHER)[0] == ExecutionPlan(FLOAT)

    def test_a_given_precision_leaves_the_format_open(self, config):
        options = config.replace(precision="float32", compile="off")
        costs = {**PLAIN, CONTIGUOUS: Cost(0.1, 1.0)}
        assert choose(options, GPU, costs, formats=OTHER)[0] == CONTIGUOUS


def test_a_cpu_measures_nothing_and_compiles_only_if_asked(config):
    assert choose_plan(config, CPU, OTHER, 1000, never, never) == ExecutionPlan(FLOAT)
    compiled = ExecutionPlan(FLOAT, compiled=True)
    compiling = config.replace(compile="on")
    plan, messages = choose(compiling, CPU, {compiled: Cost(1.0, 83.4)})
    assert plan == compiled
    assert messages == ["The network is compiled; the first step took 83 s for that."]
    plan, messages = choose(compiling, CPU, {})
    assert plan == ExecutionPlan(FLOAT)
    assert messages == ["The network cannot be compiled here; it runs as it is."]
    with pytest.raises(ConfigError, match="precision bf16 needs a GPU"):
        choose(config.replace(precision="bf16"), CPU, {})


def test_a_plan_has_a_name():
    plan = ExecutionPlan(BF16, True, "channels_last_3d")
    assert str(plan) == "bfloat16, channels_last_3d, compiled"
    assert str(ExecutionPlan(FLOAT)) == "float32"


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
def test_a_network_that_cannot_be_compiled_costs_nothing_and_other_errors_are_raised(config, monkeypatch):
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
