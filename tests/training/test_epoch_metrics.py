"""Trainings that fail (NaN, memory) and resume; the history of a checkpoint; the numbers of an epoch."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import hsi
from hsi.commands.app import run as command
from hsi.errors import RunError, TrainingError
from hsi.runs.checkpoint import LAST
from hsi.training import Callback
from hsi.training.callbacks import EpochRow
from hsi.training.epoch_metrics import (
    MAX_OVERFLOWS,
    EpochMetrics,
    NotFiniteError,
    gradient_norm,
    history_of,
)
from hsi.training.session import resume

STEPS = 5  # batches an epoch of `own_settings`: 70 pixels by 16


class Poison(torch.autograd.Function):
    """Passes values, and NaN as the gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("nan")


def bad_at(step, how):
    """Spoil one training step, counted from 0 over all epochs, once."""
    taken = []

    def before(network, x):
        if not network.training:
            return x
        taken.append(len(x))
        if len(taken) - 1 != step:
            return x
        return x * float("nan") if how == "loss" else Poison.apply(x)

    return before


def commands(settings, out):
    said = {name: value for name, value in settings.items() if name != "model_options"}
    return [
        "train",
        "--out",
        str(out),
        *(word for name, value in said.items() for word in (f"--{name}", str(value))),
    ]


def scores(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    return {name: metrics[name] for name in ("train", "val", "test", "epochs")}


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_the_bad_batch_is_named_and_the_last_good_checkpoint_resumes(
    how, own_network, own_settings, tmp_path, capsys
):
    own_network()
    whole = hsi.train(**own_settings, out=tmp_path / "whole")
    assert -(-len(whole.split.train) // 16) == STEPS

    bad = STEPS + 2  # the third batch of the second epoch
    own_network(bad_at(bad, how))
    assert command(commands(own_settings, tmp_path / "run")) == 1
    sentence = capsys.readouterr().err.splitlines()[-1]
    order = torch.Generator().manual_seed(0)
    count = len(whole.split.train)
    shuffled = [whole.split.train[torch.randperm(count, generator=order).numpy()] for _ in range(2)][1]
    first = shuffled[2 * 16]
    assert f"The {how} became nan in epoch 2, batch 3 of {STEPS} (row and column of its pixels: " in sentence
    assert f"pixels: ({first // 20}, {first % 20}), " in sentence
    assert f"the last good checkpoint, of epoch 1, is in '{tmp_path / 'run' / 'checkpoint'}'" in sentence
    assert "--precision" not in sentence  # it is float32 already
    assert not (tmp_path / "run/metrics.json").exists()
    for name in ("last", "best"):
        kept = load_file(tmp_path / f"run/checkpoint/{name}.safetensors")
        assert all(torch.isfinite(tensor).all() for tensor in kept.values() if tensor.is_floating_point())

    own_network()
    assert command(["train", "--resume", str(tmp_path / "run")]) == 0
    assert scores(tmp_path / "run") == scores(tmp_path / "whole")


def test_the_first_epoch_has_no_checkpoint_to_name(own_network, own_settings, tmp_path):
    own_network(bad_at(0, "loss"))
    with pytest.raises(TrainingError, match=r"epoch 1, batch 1 of 5 .* there is no checkpoint yet"):
        hsi.train(**own_settings, out=tmp_path / "run")


def test_weights_with_a_bad_validation_loss_are_not_kept(own_network, own_settings, tmp_path):
    own_network(lambda network, x: x if network.training else x * float("nan"))
    with pytest.raises(TrainingError, match="The validation loss became nan in epoch 1;"):
        hsi.train(**own_settings, out=tmp_path / "run")
    assert not list((tmp_path / "run/checkpoint").iterdir())


def test_rare_reads_name_the_same_batch(own_network, own_settings, tmp_path, monkeypatch):
    monkeypatch.setattr("hsi.training.loop.sync_interval", lambda device: 3)
    own_network(bad_at(STEPS, "gradient"))
    with pytest.raises(TrainingError, match="The gradient became nan in epoch 2, batch 1 of 5"):
        hsi.train(**own_settings, out=tmp_path / "run")
    kept = load_file(tmp_path / "run/checkpoint/last.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values() if tensor.is_floating_point())


def narrow(fits):
    """Run out of memory for more than `fits` patches."""

    def before(network, x):
        if len(x) > fits:
            torch.empty(2**55, dtype=torch.uint8)
        return x

    return before


def test_too_little_memory_is_one_sentence_with_a_way_out(own_network, own_settings, tmp_path, capsys):
    own_network(narrow(6))
    assert command(commands(own_settings, tmp_path / "run")) == 1
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert "Memory ran out in epoch 1 with batches of 16 patches; use --batch-size auto" in sentence
    assert "such as --batch 8" in sentence


class Said(Callback):
    def __init__(self, steps=0):
        self.said, self.left = [], steps

    def message(self, sentence):
        self.said.append(sentence)

    def on_step(self, loss):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_auto_uses_micro_batches_says_so_and_resumes_alike(own_network, own_settings, tmp_path, capsys):
    settings = {**own_settings, "batch": "auto", "preset": "quick", "epochs": 3}  # its batch is 16
    del settings["train"], settings["val"]
    own_network(narrow(6))
    callback = Said()
    whole = hsi.train(**settings, out=tmp_path / "whole", callback=callback)
    (sentence,) = [sentence for sentence in callback.said if sentence.startswith("Memory ran out")]
    assert "each batch of 16 patches is now split into micro-batches of at most 4" in sentence
    assert (whole.config.batch, whole.config.fit_memory, whole.metrics["patches_at_once"]) == (16, True, 4)
    with pytest.raises(KeyboardInterrupt):
        hsi.train(**settings, out=tmp_path / "cut", callback=Said(7))
    assert command(["train", "--resume", str(tmp_path / "cut"), "--batch-size", "auto"]) == 0
    assert scores(tmp_path / "cut") == scores(tmp_path / "whole")
    capsys.readouterr()
    assert command(["evaluate", str(tmp_path / "cut"), "--json", "--device", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == whole.metrics["test"]


def test_micro_batches_give_the_training_of_whole_batches_without_batch_norm(
    own_network, own_settings, tmp_path
):
    def still(network, x):
        network.dropout.p = 0.0
        return x

    def short(network, x):
        return narrow(5)(network, still(network, x))

    own_network(still, norm=False)
    whole = hsi.train(**own_settings, out=tmp_path / "whole")
    own_network(short, norm=False)
    pieces = hsi.train(**own_settings, fit_memory=True, out=tmp_path / "pieces")
    for one, other in zip(whole.history, pieces.history, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-4)


def test_no_micro_batch_is_small_enough(own_network, own_settings, tmp_path):
    own_network(narrow(1))
    with pytest.raises(TrainingError, match="even with micro-batches of 2 patches; choose a smaller --patch"):
        hsi.train(**own_settings, fit_memory=True, out=tmp_path / "run")


@pytest.mark.parametrize("word", ["many", "1.5", "-3"])
def test_a_batch_is_a_number_or_auto(word, own_settings, tmp_path, capsys):
    settings = {**own_settings, "model": "densenet3d", "batch": word}
    assert command(commands(settings, tmp_path / "run")) == 2
    assert "a whole number of patches, or auto" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


ROW = dict.fromkeys(EpochRow.__annotations__, 0.5) | {"epoch": 0, "overflows": 0}
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*ROW, "other"]), inner),
)


def test_rows_of_older_runs_have_no_overflows():
    older = {name: value for name, value in ROW.items() if name != "overflows"}
    assert history_of([older, {**ROW, "epoch": 1, "overflows": 2}]) == [
        ROW,
        {**ROW, "epoch": 1, "overflows": 2},
    ]
    assert history_of([]) == []


@given(ANY.filter(lambda found: found != []))
def test_anything_else_is_refused(found):
    with pytest.raises(ValueError, match="its history"):
        history_of(found)


@pytest.mark.parametrize(
    "change", [{"epoch": 1}, {"lr": "1"}, {"val_oa": None}, {"val_oa": True}, {"more": 1}]
)
def test_a_row_with_a_wrong_value_is_refused(change):
    with pytest.raises(ValueError, match="its history"):
        history_of([{**ROW, **change}])


@pytest.mark.parametrize(
    "change",
    [{"history": None}, {"history": [{}]}, {"patches_at_once": 0}, {"patches_at_once": "x"}],
)
def test_a_damaged_checkpoint_is_not_resumed(tmp_path, change):
    options = {"patch": 7, "pca": 8, "train": 0.02, "val": 0.01, "scheme": "random", "device": "cpu"}
    run = hsi.train("cnn1d", "demo", epochs=1, out=tmp_path / "run", **options)
    (run.path / "metrics.json").unlink()
    path = run.path / "checkpoint" / LAST
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        facts = json.loads(file.metadata()["facts"])
    save_file(tensors, path, metadata={"facts": json.dumps({**facts, **change})})
    before = path.read_bytes()
    with pytest.raises(RunError, match="is damaged"):
        resume(run.path)
    assert path.read_bytes() == before


class Losses(Callback):
    def __init__(self):
        self.seen = []

    def on_step(self, loss):
        self.seen.append(loss)


def feed(steps, every, scaled=False, callback=None):
    """Tally ``(pixels, loss, right, gradient)`` steps; return the totals, and how many were taken."""
    batches = [np.arange(pixels) for pixels, *_ in steps]
    tally = EpochMetrics(batches, every, scaled, callback or Callback())
    for taken, (_, loss, right, gradient) in enumerate(steps, start=1):
        try:
            tally.add(torch.tensor(loss), torch.tensor(right), torch.tensor(gradient))
        except NotFiniteError as found:
            found.taken = taken
            raise
    return tally.totals()


steps = st.lists(
    st.tuples(st.integers(1, 50), st.floats(0, 9, width=32), st.integers(0, 50), st.just(1.0)), min_size=1
)


@given(steps, st.integers(1, 40))
def test_sums_do_not_depend_on_the_interval(steps, every):
    callback = Losses()
    found = feed(steps, every, callback=callback)
    pixels = sum(step[0] for step in steps)
    assert found.loss == pytest.approx(math.fsum(step[0] * step[1] for step in steps) / pixels)
    assert found.oa == sum(step[2] for step in steps) / pixels
    assert found.overflows == 0
    assert callback.seen == [step[1] for step in steps]
    assert found == feed(steps, 1)


@given(st.integers(0, 19), st.integers(1, 40), st.sampled_from(["loss", "gradient"]))
def test_the_first_bad_batch_is_named_however_late_it_is_read(bad, every, what):
    good = (4, 1.0, 2, 1.0)
    values = [good] * bad
    values.append((4, math.nan, 2, 1.0) if what == "loss" else (4, 1.0, 2, math.inf))
    values += [(4, math.nan, 0, math.nan)] * (20 - len(values))  # what a bad step does to those behind it
    with pytest.raises(NotFiniteError) as found:
        feed(values, every)
    assert (found.value.batch, found.value.what) == (bad, what)
    if hasattr(found.value, "taken"):
        assert bad < found.value.taken <= bad + every


def test_overflows_are_counted_where_the_loss_is_scaled():
    good, over = (4, 1.0, 2, 1.0), (4, 1.0, 2, math.inf)
    values = [over, over, good, over, good]
    assert feed(values, 2, scaled=True).overflows == 3
    with pytest.raises(NotFiniteError, match="gradient is inf in batch 0"):
        feed(values, 2)


def test_too_many_overflows_in_a_row_are_an_error():
    over = (4, 1.0, 2, math.nan)
    assert feed([over] * (MAX_OVERFLOWS - 1), 1, scaled=True).overflows == MAX_OVERFLOWS - 1
    with pytest.raises(NotFiniteError, match="gradient is nan") as found:
        feed([(4, 1.0, 2, 1.0), *[over] * MAX_OVERFLOWS], 1, scaled=True)
    assert found.value.batch == MAX_OVERFLOWS


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_bad_entry_shows_in_the_norm_of_a_gradient(value):
    parameters = [torch.nn.Parameter(torch.zeros(3, 2)), torch.nn.Parameter(torch.zeros(4))]
    parameters[0].grad, parameters[1].grad = torch.full((3, 2), 2.0), torch.arange(4.0)
    assert gradient_norm(parameters).item() == pytest.approx(math.sqrt(6 * 4 + 14))
    parameters[1].grad[2] = value
    assert not math.isfinite(gradient_norm(parameters).item())
