"""Trainings that go wrong by a network of one's own: what is said, what is kept, how they go on."""

import json

import pytest
import torch
from safetensors.torch import load_file

import hsi
from hsi.commands.app import run as command
from hsi.errors import TrainingError
from hsi.training import Watcher

STEPS = 5  # batches an epoch of `own_settings`: 70 pixels by 16


class Poison(torch.autograd.Function):
    """Lets values through, and NaN as the gradient."""

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
def test_the_batch_is_named_and_the_last_good_checkpoint_goes_on(
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


def test_weights_that_only_the_validation_finds_bad_are_not_kept(own_network, own_settings, tmp_path):
    own_network(lambda network, x: x if network.training else x * float("nan"))
    with pytest.raises(TrainingError, match="The validation loss became nan in epoch 1;"):
        hsi.train(**own_settings, out=tmp_path / "run")
    assert not list((tmp_path / "run/checkpoint").iterdir())


def test_seldom_looks_find_the_same_batch(own_network, own_settings, tmp_path, monkeypatch):
    monkeypatch.setattr("hsi.training.loop.look_every", lambda device: 3)
    own_network(bad_at(STEPS, "gradient"))
    with pytest.raises(TrainingError, match="The gradient became nan in epoch 2, batch 1 of 5"):
        hsi.train(**own_settings, out=tmp_path / "run")
    kept = load_file(tmp_path / "run/checkpoint/last.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values() if tensor.is_floating_point())


def narrow(fits):
    """Run out of memory, really, for more than `fits` patches."""

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


class Said(Watcher):
    def __init__(self, steps=0):
        self.said, self.left = [], steps

    def say(self, sentence):
        self.said.append(sentence)

    def step(self, loss):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_auto_takes_pieces_says_so_and_goes_on_alike(own_network, own_settings, tmp_path, capsys):
    settings = {**own_settings, "batch": "auto", "preset": "quick", "epochs": 3}  # its batch is 16
    del settings["train"], settings["val"]
    own_network(narrow(6))
    watcher = Said()
    whole = hsi.train(**settings, out=tmp_path / "whole", watcher=watcher)
    (sentence,) = [sentence for sentence in watcher.said if sentence.startswith("Memory ran out")]
    assert "each batch of 16 patches is now taken in pieces of at most 4" in sentence
    assert (whole.config.batch, whole.config.fit_memory, whole.metrics["patches_at_once"]) == (16, True, 4)
    with pytest.raises(KeyboardInterrupt):
        hsi.train(**settings, out=tmp_path / "cut", watcher=Said(7))
    assert command(["train", "--resume", str(tmp_path / "cut"), "--batch-size", "auto"]) == 0
    assert scores(tmp_path / "cut") == scores(tmp_path / "whole")
    capsys.readouterr()
    assert command(["evaluate", str(tmp_path / "cut"), "--json", "--device", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == whole.metrics["test"]


def test_pieces_give_the_training_of_whole_batches_without_batch_norm(own_network, own_settings, tmp_path):
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


def test_no_piece_is_small_enough(own_network, own_settings, tmp_path):
    own_network(narrow(1))
    with pytest.raises(TrainingError, match="even with pieces of 2 patches; choose a smaller --patch"):
        hsi.train(**own_settings, fit_memory=True, out=tmp_path / "run")


@pytest.mark.parametrize("word", ["many", "1.5", "-3"])
def test_a_batch_is_a_number_or_auto(word, own_settings, tmp_path, capsys):
    settings = {**own_settings, "model": "densenet3d", "batch": word}
    assert command(commands(settings, tmp_path / "run")) == 2
    assert "a whole number of patches, or auto" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
