"""Interleaving and summaries."""

from __future__ import annotations

import time

import pytest
import torch

from hsi.bench.timing import MOST_REPEATS, MOST_ROUNDS, interleave, summary

CPU = torch.device("cpu")


def test_actions_take_turns() -> None:
    calls: list[str] = []

    def slow() -> None:
        calls.append("slow")
        time.sleep(0.02)

    taken = interleave({"slow": slow, "quick": lambda: calls.append("quick")}, CPU, rounds=3, seconds=0)
    assert calls[:4] == ["slow", "quick", "slow", "quick"]
    assert "".join(call[0] for call in calls) == "sq" + 2 * ("s" + MOST_REPEATS * "q")
    assert len(taken["slow"]) == 3
    assert len(taken["quick"]) == 1 + 2 * MOST_REPEATS
    assert min(taken["slow"]) >= 0.02 > max(taken["quick"])


def test_rounds_end_with_the_time_or_the_most() -> None:
    assert len(interleave({"a": lambda: None}, CPU, rounds=2, seconds=60)["a"]) == MOST_ROUNDS
    assert len(interleave({"a": lambda: time.sleep(0.03)}, CPU, rounds=1, seconds=0.1)["a"]) in (3, 4)


def test_summary() -> None:
    found = summary([3.0, 1.0, 10.0])
    assert (found["median"], found["min"], found["max"]) == (3.0, 1.0, 10.0)
    assert found["samples"] == [3.0, 1.0, 10.0]
    assert summary([1.0, 2.0])["median"] == pytest.approx(1.5)
