import numpy as np
import pytest
import torch

from hsi.errors import SplitError
from hsi.inference.predict import make_cutter, predict_logits
from hsi.report.pictures import classify


def test_is_the_prediction_of_the_run_with_the_softmax_of_its_scores(runs):
    for run in runs:
        scene = run.load_scene()
        told = []
        classified = classify(
            run, scene, device="cpu", progress=lambda done, of, told=told: told.append((done, of))
        )
        assert np.array_equal(classified.labels, run.predict(scene, device="cpu"))
        assert np.array_equal(classified.labels.ravel()[run.split.test], run.predictions["test"])
        assert told[-1] == (480, 480)
        cutter = make_cutter(scene, run.preprocess, run.split, run.config, "cpu")
        logits = predict_logits(run.load_model("cpu"), cutter, np.arange(480))
        shares = torch.exp(logits) / torch.exp(logits).sum(dim=1, keepdim=True)
        assert np.allclose(classified.confidence.ravel(), shares.max(dim=1).values, atol=1e-4)


def test_refuses_a_scene_with_other_labels(runs, small_scene):
    import hsi

    other = hsi.load_scene(str(small_scene))
    other.labels[0, 0] = 3
    with pytest.raises(SplitError):
        classify(runs[0], other, device="cpu")
