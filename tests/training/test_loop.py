"""The loop against a plain one written here; its options twice and after an interruption; learning rates."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

import hsi
from hsi.commands.app import run as command
from hsi.datasets.augment import flip_rotate
from hsi.inference.predict import make_cutter
from hsi.training import Callback
from hsi.training.loop import learning_rate

OPTIONS = {
    "model": "densenet3d",
    "model_options": {"layers": [1, 1, 1], "growth": [4, 4, 4]},
    "scheme": "random",
    "train": 0.2,
    "val": 0.2,
    "patch": 7,
    "epochs": 3,
    "batch": 16,
    "lr": 0.01,
    "device": "cpu",
}
EVERYTHING = {
    "augment": True,
    "field_shift": 1.0,
    "pixel_drop": 0.4,
    "label_smoothing": 0.1,
    "dropout": 0.3,
    "ema": 0.9,
}


@pytest.fixture
def settings(small_scene):
    return {**OPTIONS, "dataset": str(small_scene)}


def last_state(run):
    return load_file(run.path / "checkpoint/last.safetensors")


def same_states(one, other):
    first, second = last_state(one), last_state(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("augment", [False, True])
def test_without_options_it_is_the_plain_loop_bit_for_bit(settings, tmp_path, augment):
    run = hsi.train(**settings, augment=augment, out=tmp_path / "run")
    scene = run.load_scene()
    torch.manual_seed(0)
    network = hsi.build_model("densenet3d", bands=12, classes=3, patch=7, **OPTIONS["model_options"]).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01, fused=True)
    cube = np.pad(run.preprocess.transform(scene.cube), ((3, 3), (3, 3), (0, 0)))
    order, symmetry = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    for epoch in range(3):
        optimiser.param_groups[0]["lr"] = learning_rate(run.config.schedule, 0.01, epoch, 3)
        pixels = run.split.train[torch.randperm(len(run.split.train), generator=order).numpy()]
        for some in np.split(pixels, range(16, len(pixels), 16)):
            rows, cols = some // scene.cols, some % scene.cols
            windows = np.stack([cube[r : r + 7, c : c + 7] for r, c in zip(rows, cols, strict=True)])
            patches = torch.from_numpy(windows).permute(0, 3, 1, 2)
            logits = network(flip_rotate(patches, symmetry) if augment else patches)
            optimiser.zero_grad()
            cross_entropy(logits, torch.from_numpy(scene.labels[rows, cols] - 1).long()).backward()
            optimiser.step()
    found = last_state(run)
    for name, expected in network.state_dict().items():
        assert torch.equal(found[f"model.{name}"], expected), name


def test_every_option_at_once_gives_the_same_twice_and_after_an_interruption(settings, tmp_path):
    class Stop(Callback):
        left = 6

        def on_step(self, loss):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    settings = {**settings, "epochs": 2}
    whole = hsi.train(**settings, **EVERYTHING, out=tmp_path / "whole")
    again = hsi.train(**settings, **EVERYTHING, out=tmp_path / "again")
    same_states(whole, again)
    with pytest.raises(KeyboardInterrupt):
        hsi.train(**settings, **EVERYTHING, out=tmp_path / "cut", callback=Stop())
    resumed = hsi.resume(tmp_path / "cut")
    same_states(whole, resumed)
    assert resumed.metrics["test"] == whole.metrics["test"]


@pytest.mark.parametrize("name", [name for name in EVERYTHING if name not in ("augment", "ema")])
def test_each_option_changes_the_training(settings, tmp_path, name):
    settings = {**settings, "epochs": 1, "augment": False}
    plain = hsi.train(**settings, out=tmp_path / "plain")
    changed = hsi.train(**settings, **{name: EVERYTHING[name]}, out=tmp_path / "changed")
    assert plain.history[0]["train_loss"] != changed.history[0]["train_loss"]


def test_smoothed_targets_are_those_of_their_definition(settings, tmp_path):
    # One step of one batch: the loss in the history is that of the network as it was built.
    settings = {**settings, "epochs": 1, "batch": 500, "augment": False}
    run = hsi.train(**settings, label_smoothing=0.3, out=tmp_path / "run")
    scene = run.load_scene()
    torch.manual_seed(0)
    network = hsi.build_model("densenet3d", bands=12, classes=3, patch=7, **OPTIONS["model_options"]).train()
    pixels = run.split.train[torch.randperm(len(run.split.train), generator=torch.Generator().manual_seed(0))]
    cutter = make_cutter(scene, run.preprocess, None, run.config, "cpu")
    shares = 0.7 * np.eye(3)[scene.labels.ravel()[pixels] - 1] + 0.3 / 3
    with torch.no_grad():
        logarithms = network(cutter(pixels)).log_softmax(dim=1).double().numpy()
    assert run.history[0]["train_loss"] == pytest.approx(-(shares * logarithms).sum(axis=1).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--label-smoothing", "1"], "label_smoothing must be a number from 0 to below 1, not 1.0."),
        (["--dropout", "1.5"], "dropout must be a number from 0 to below 1, not 1.5."),
        (["--pixel-drop", "nan"], "pixel_drop must be a number from 0 to below 1, not nan."),
        (["--field-shift", "-0.5"], "field_shift must be a number of at least 0, not -0.5."),
        (["--field-shift", "inf"], "field_shift must be a number of at least 0, not inf."),
    ],
)
def test_bad_options_are_one_sentence(options, sentence, small_scene, tmp_path, capsys):
    start = ["train", "--model", "densenet3d", "--dataset", str(small_scene), "--out", str(tmp_path / "run")]
    assert command([*start, *options]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_wave_is_what_the_released_scheduler_amounts_to():
    # Stepping a cosine scheduler (T_max 15) to epoch - 1 in closed form gives its rate in that epoch.
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=15, eta_min=0)
    for epoch in range(80):
        scheduler.last_epoch = max(epoch - 1, 0)
        expected = scheduler._get_closed_form_lr()[0]
        assert learning_rate("wave", 5e-4, epoch, 80) == pytest.approx(expected, abs=1e-15)


def test_wave_is_zero_at_16_46_76_and_full_at_0_1_31_61():
    for epoch in (16, 46, 76):
        assert learning_rate("wave", 1.0, epoch, 80) == pytest.approx(0, abs=1e-12)
    for epoch in (0, 1, 31, 61):
        assert learning_rate("wave", 1.0, epoch, 80) == pytest.approx(1)


def test_cosine_falls_from_peak_to_almost_zero():
    rates = [learning_rate("cosine", 2.0, epoch, 10) for epoch in range(10)]
    assert rates[0] == 2.0
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.1


def test_constant():
    assert {learning_rate("constant", 0.3, epoch, 5) for epoch in range(5)} == {0.3}


class Kept(Callback):
    """Spoils validation after two epochs, so that the second looks best, and reads each epoch's state."""

    def __init__(self, stop_after=math.inf):
        self.over, self.stop_after, self.states = 0, stop_after, []

    def before(self):
        """Return what the network does to patches: a function, as the average copies all else with it."""
        return lambda network, x: x if network.training or self.over < 2 else torch.zeros_like(x)

    def on_train_start(self, folder, epochs, done, steps):
        self.over, self.last = done, folder / "checkpoint/last.safetensors"

    def on_epoch(self, row, best):
        self.over += 1
        self.states.append(load_file(self.last))
        if self.over == self.stop_after:
            raise KeyboardInterrupt


def is_state(run, state, prefix="model."):
    kept = load_file(run.path / "checkpoint/best.safetensors")
    return all(torch.equal(tensor, state[prefix + name]) for name, tensor in kept.items())


@pytest.mark.parametrize(("ema", "prefix"), [(0.0, "model."), (0.9, "average.module.")])
def test_where_the_learning_rate_falls_to_zero_the_last_epoch_is_kept(
    own_network, own_settings, tmp_path, ema, prefix
):
    watch = Kept()
    own_network(watch.before())
    options = {**own_settings, "schedule": "cosine", "epochs": 4, "ema": ema}
    run = hsi.train(**options, out=tmp_path / "run", callback=watch)
    oa = [row["val_oa"] for row in run.history]
    assert max(oa[:2]) > max(oa[2:])  # the validation OA would have kept another
    assert [is_state(run, state, prefix) for state in watch.states] == [False, False, False, True]


@pytest.mark.parametrize("change", [{"schedule": "constant"}, {"schedule": "wave"}, {"patience": 2}])
def test_else_the_epoch_with_the_best_validation_oa_is_kept(own_network, own_settings, tmp_path, change):
    watch = Kept()
    own_network(watch.before())
    options = {**own_settings, "schedule": "cosine", "epochs": 9, **change}
    run = hsi.train(**options, out=tmp_path / "run", callback=watch)
    found = [(row["val_oa"], -row["val_loss"]) for row in run.history]
    best = found.index(max(found))
    assert best < 2
    assert len(found) == (best + 3 if "patience" in change else 9)
    assert [is_state(run, state) for state in watch.states] == [epoch == best for epoch in range(len(found))]


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize("after", [1, 3])
def test_an_interruption_changes_nothing_of_what_is_kept(
    own_network, own_settings, tmp_path, schedule, after
):
    options = {**own_settings, "schedule": schedule, "epochs": 4}
    watch = Kept()
    own_network(watch.before())
    whole = hsi.train(**options, out=tmp_path / "whole", callback=watch)
    watch = Kept(stop_after=after)
    own_network(watch.before())
    with pytest.raises(KeyboardInterrupt):
        hsi.train(**options, out=tmp_path / "cut", callback=watch)
    watch = Kept()
    own_network(watch.before())
    resumed = hsi.resume(tmp_path / "cut", callback=watch)
    assert is_state(resumed, load_file(whole.path / "checkpoint/best.safetensors"), "")
    assert [row["val_oa"] for row in resumed.history] == [row["val_oa"] for row in whole.history]
