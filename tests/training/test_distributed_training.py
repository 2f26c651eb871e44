"""Whole trainings by several ranks against the same ones by one process."""

import json

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn

import hsi
from hsi.config import Config
from hsi.errors import InputError, InUseError, TrainingError
from hsi.inference.predict import make_cutter, predict_logits
from hsi.io.locks import run_lock
from hsi.models import build_model
from hsi.training import Callback
from hsi.training.gradient import BatchGradient
from hsi.training.run_group import train_runs
from hsi.training.session import resume, train

TINY = {"layers": [1, 1, 1], "growth": [4, 4, 4]}
NETWORKS = {
    **dict.fromkeys(("densenet3d", "stnet", "ekgnet", "wcnet", "sgdscnet"), TINY),
    "cnn1d": {},
    "hybridsn": {},
    "ssrn": {},
    "spectralformer": {},
}
EVERYTHING = {
    "augment": True,
    "field_shift": 1.0,
    "pixel_drop": 0.4,
    "label_smoothing": 0.1,
    "class_weights": True,
    "ema": 0.9,
    "tta": True,
}
CLOSE = 1e-5
"""Logits of a network without batch norm, after some steps on several ranks: their sums round differently."""


def two_layers(network, x):
    """Make the network of a test one without batch norm and dropout."""
    network.dropout.p = 0.0
    return x


@pytest.fixture
def plain(own_network, own_settings):
    own_network(two_layers, norm=False)
    return {**own_settings, **EVERYTHING, "lr": 0.002}


def logits(run):
    scene = run.load_scene()
    cutter = make_cutter(scene, run.preprocess, run.split, run.config, "cpu")
    return predict_logits(run.load_model("cpu"), cutter, run.split.test)


def same_scores(run, other):
    """Compare two runs: numbers within `CLOSE`, predictions all alike."""
    torch.testing.assert_close(logits(run), logits(other), rtol=0, atol=CLOSE)
    for one, two in zip(run.history, other.history, strict=True):
        for name in ("epoch", "lr", "train_loss", "train_oa", "val_loss", "val_oa"):
            assert one[name] == pytest.approx(two[name], abs=CLOSE)
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(run.predictions[part], other.predictions[part])
        assert run.metrics[part] == other.metrics[part]


@pytest.mark.parametrize("count", [2, 4])
def test_without_batch_norm_it_is_the_training_of_one_process(plain, tmp_path, ranked, count):
    one = train(**plain, out=tmp_path / "one")
    told = []

    class Telling(Callback):
        def on_scored(self, metrics):
            told.append(metrics["ranks"])

        def message(self, sentence):
            assert "Batch norm" not in sentence

    def work(world):
        run = train(**plain, out=tmp_path / "many", callback=Telling(), world=world)
        return run.path, told

    assert ranked(count, work) == [(tmp_path / "many", [count])] * count
    many = hsi.open_run(tmp_path / "many")
    same_scores(one, many)
    assert (one.metrics["ranks"], many.metrics["ranks"]) == (1, count)
    files = [sorted(p.name for p in run.path.rglob("*") if p.is_file()) for run in (one, many)]
    assert files[0] == files[1]
    states = [load_file(run.path / "checkpoint/last.safetensors") for run in (one, many)]
    assert states[0].keys() == states[1].keys()
    for name in states[0]:
        if name.startswith("random."):
            assert torch.equal(states[0][name], states[1][name]), name


def test_a_run_resumes_with_any_number_of_ranks(plain, tmp_path, ranked):
    class Stop(Callback):
        def on_epoch(self, row, best):
            if row["epoch"] == self.last:
                raise KeyboardInterrupt

    def until(last, act):
        def work(world):
            callback = Stop()
            callback.last = last
            try:
                act(world=world, callback=callback)
            except KeyboardInterrupt:
                return "stopped"
            return "done"

        return work

    one = train(**plain, out=tmp_path / "one")
    folder = tmp_path / "many"
    begin = until(0, lambda **more: train(**plain, out=folder, **more))
    assert ranked(2, begin) == ["stopped"] * 2
    assert ranked(4, until(1, lambda **more: resume(folder, **more))) == ["stopped"] * 4
    same_scores(one, resume(folder))


def test_with_batch_norm_all_ranks_keep_one_network_of_similar_accuracy(small_scene, tmp_path, ranked):
    said = {"model": "densenet3d", "model_options": TINY, "dataset": str(small_scene), "scheme": "random"}
    said |= {"train": 0.2, "val": 0.2, "patch": 7, "epochs": 8, "batch": 16, "lr": 0.01, "device": "cpu"}
    one = train(**said, out=tmp_path / "one")

    def work(world):
        heard = []

        class Hearing(Callback):
            def message(self, sentence):
                heard.append(sentence)

        train(**said, out=tmp_path / "many", callback=Hearing(), world=world)
        return heard

    for heard in ranked(2, work):
        assert sum("from the 8 patches that each of 2 processes has" in sentence for sentence in heard) == 1
    many = hsi.open_run(tmp_path / "many")
    assert one.scores["test"].oa > 0.9
    assert many.scores["test"].oa == pytest.approx(one.scores["test"].oa, abs=0.05)
    found = many.evaluate(many.load_scene(), device="cpu")  # what was kept is what was scored
    np.testing.assert_array_equal(found.confusion, many.scores["test"].confusion)


def test_kanet_ends_the_same_on_all_ranks_though_its_knots_move(small_scene, tmp_path, ranked):
    said = {"model": "kanet", "model_options": TINY, "dataset": str(small_scene), "scheme": "random"}
    said |= {"train": 0.2, "val": 0.2, "patch": 7, "epochs": 2, "batch": 16, "device": "cpu"}
    ranked(3, lambda world: train(**said, out=tmp_path / "run", world=world).path)
    first = load_file(tmp_path / "run/checkpoint/last.safetensors")
    built = build_model("kanet", bands=12, classes=3, patch=7, **TINY).state_dict()
    grids = [name for name in built if name.endswith("grid")]
    assert grids
    assert all(not torch.equal(first[f"model.{name}"], built[name]) for name in grids)


def gradients(name, micro_batch, world=None):
    """Return the gradient of one batch of 4, from micro-batches of `micro_batch` patches or by ranks."""
    torch.manual_seed(3)
    model = build_model(name, bands=30, classes=3, patch=9, **NETWORKS[name]).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    draw = torch.Generator().manual_seed(1)
    patches = torch.randn(4, 9, 9, 30, generator=draw).permute(0, 3, 1, 2)  # in memory as PatchCutter's
    config = Config(name, "x", batch=4)
    scaler = torch.amp.GradScaler(enabled=False)
    gradient = BatchGradient(model, None, scaler, torch.float32, config, print, world)
    gradient.micro_batch.size = micro_batch
    loss, _ = gradient(patches, torch.tensor([0, 1, 2, 1]))
    return [loss, *(p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters())]


def test_every_network_has_the_gradient_of_micro_batches(ranked):
    answers = ranked(2, lambda world: {name: gradients(name, 4, world) for name in NETWORKS})
    for name in NETWORKS:
        expected = gradients(name, 2)
        scale = max(float(gradient.abs().max()) for gradient in expected)
        for found in answers:
            torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-5 * scale, msg=name)


def test_a_bad_batch_stops_all_ranks_with_the_error_of_one_process(
    own_network, own_settings, tmp_path, ranked
):
    def spoil(network, x):
        """Spoil the fourth batch, of several ranks only the share of the last one."""
        network.steps = getattr(network, "steps", 0) + network.training
        here = not dist.is_initialized() or dist.get_rank() == 2
        return x * float("nan") if here and network.training and network.steps == 4 else x

    own_network(spoil, norm=False)

    def work(world=None):
        try:
            train(**own_settings, out=tmp_path / ("one" if world is None else "many"), world=world)
        except TrainingError as error:
            return str(error)
        return None

    expected = work().replace("'" + str(tmp_path / "one"), "'" + str(tmp_path / "many"))
    assert "batch 4 of" in expected
    assert ranked(3, work) == [expected] * 3


def test_what_ranks_cannot_share_is_refused_by_all_and_nothing_is_written(plain, tmp_path, ranked):
    def work(world):
        sentences = []
        for more in ({"batch": 3}, {"model": "knn", "batch": 16}, {"out": tmp_path}):
            try:
                train(**{"out": tmp_path / "run", **plain, **more}, world=world)
            except InputError as error:
                sentences.append(str(error))
        return sentences

    one, two = ranked(2, work)
    assert one == two
    assert "4 together, but a batch has 3; start fewer processes, or use --batch 4 or more" in one[0]
    assert one[1] == "knn is trained by one process; train it without torchrun."
    assert "is not an empty folder" in one[2]
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_refused_by_all(plain, tmp_path, ranked):
    plain = {**plain, "epochs": 1}
    train(**plain, out=tmp_path / "run")
    (tmp_path / "run/metrics.json").unlink()

    def work(world):
        try:
            resume(tmp_path / "run", world=world)
        except hsi.HsiError as error:
            return str(error), error.exit_status
        return None

    with run_lock(tmp_path / "run"):
        answers = ranked(2, work)
    assert len(set(answers)) == 1
    assert answers[0][0].startswith("Another process is at work")
    assert answers[0][1] == InUseError.exit_status


def test_a_group_of_runs_is_trained_by_all_ranks(plain, tmp_path, ranked):
    plain = {**plain, "epochs": 1}
    one = train_runs(**plain, runs=2, out=tmp_path / "one")

    def work(world):
        return [run.path.name for run in train_runs(**plain, runs=2, out=tmp_path / "many", world=world)]

    assert ranked(2, work) == [["seed0", "seed1"]] * 2
    for run in one:
        same_scores(run, hsi.open_run(tmp_path / "many" / run.path.name))
    assert ranked(2, work) == [["seed0", "seed1"]] * 2  # finished already
    assert json.loads((tmp_path / "many/seed1/metrics.json").read_text())["ranks"] == 2
