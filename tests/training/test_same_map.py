"""One trained network gives the same label map whatever the threads and the batch it is applied with."""

import numpy as np
import pytest
import torch

import hsi
from hsi.inference.predict import make_cutter, predict_labels

AGREEMENT = 0.9999  # share of the pixels that must have the same label


@pytest.fixture
def threads():
    """Set the number of threads; afterwards it is what it was."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("model", ["densenet3d", "stnet", "kanet", "ekgnet", "wcnet", "sgdscnet"])
def test_threads_and_inference_batches_change_no_label(model, small_scene, tmp_path, threads):
    run = hsi.train(
        model=model,
        dataset=str(small_scene),
        model_options={"layers": [1, 1, 1], "growth": [4, 4, 4]},
        scheme="random",
        train=0.1,
        val=0.05,
        patch=7,
        epochs=1,  # barely trained, so that many pixels are undecided between classes
        batch=16,
        device="cpu",
        out=tmp_path / "run",
    )
    scene = run.load_scene()
    cutter = make_cutter(scene, run.preprocess, run.split, run.config, "cpu")
    network, pixels = run.load_model("cpu"), np.arange(scene.rows * scene.cols)
    # Of logits: in a network that has learnt next to nothing, calibrated probabilities tie.
    expected = np.empty((scene.rows, scene.cols), np.int64)
    for window, logits, _ in run.classify(scene, device="cpu"):
        expected[window.slices] = logits.argmax(axis=2) + 1
    expected = expected.ravel()
    assert len(np.unique(expected)) > 1
    # Two threads on a busy core wait for each other at every step, so they get few pixels.
    for count, batch, every in ((1, 1, 8), (1, 16, 1), (1, 64, 1), (1, 256, 1), (2, 64, 4)):
        threads(count)
        found = predict_labels(network, cutter, pixels[::every], batch=batch)
        assert np.mean(found == expected[::every]) >= AGREEMENT, (count, batch)
