"""Measurements are made once for the same machine and facts, and a damaged cache is no error."""

from __future__ import annotations

import json

import pytest
import torch

from hsi.io.measurements import measured_once
from hsi.models.device import seconds_of

CPU = torch.device("cpu")


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr("hsi.io.measurements.cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "measured"


class Measure:
    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self):
        torch.rand(3)  # as a real one does
        return self.answers.pop(0)


def test_once_for_the_same_facts_and_again_for_others(cache):
    measure = Measure({"step": 1.0}, {"step": 2.0})
    assert measured_once({"batch": 1}, "cpu", measure) == {"step": 1.0}
    assert measured_once({"batch": 1}, "cpu", measure) == {"step": 1.0}
    assert measured_once({"batch": 2}, "cpu", measure) == {"step": 2.0}
    assert len(list(cache.iterdir())) == 2
    kept = [json.loads(path.read_text())["facts"] for path in cache.iterdir()]
    assert {each["batch"] for each in kept} == {1, 2}
    assert all(each["torch"] == torch.__version__ for each in kept)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"numbers": 3}', '{"numbers": {"step": -1.0}}', '{"numbers": {"step": "1"}}', "\x00"],
)
def test_a_damaged_file_is_measured_again(cache, text):
    measured_once({}, "cpu", Measure({"step": 1.0}))
    (file,) = cache.iterdir()
    file.write_text(text)
    assert measured_once({}, "cpu", Measure({"step": 2.0})) == {"step": 2.0}
    assert measured_once({}, "cpu", Measure()) == {"step": 2.0}


def test_what_does_not_work_is_asked_again_and_a_cache_that_cannot_be_written_does_not_matter(cache):
    assert measured_once({}, "cpu", Measure(None)) is None
    cache.parent.write_text("a file where the folder should be")
    assert measured_once({}, "cpu", Measure({"step": 3.0})) == {"step": 3.0}


def test_random_numbers_go_on_as_if_nothing_was_measured(cache):
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    measured_once({}, "cpu", Measure({"step": 1.0}))
    assert torch.equal(torch.rand(2), expected)


def test_the_quickest_try_counts(monkeypatch):
    times = iter([0.0, 5.0, 5.0, 7.0, 7.0, 10.0])
    monkeypatch.setattr("hsi.models.device.time.perf_counter", lambda: next(times))
    assert seconds_of(lambda: None, CPU, tries=3) == 2.0
