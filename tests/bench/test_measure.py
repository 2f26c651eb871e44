"""Peak memory in processes of their own, and interleaved times."""

from __future__ import annotations

import operator
import os
import sys
import time
from functools import partial

import pytest
import torch

from hsi.bench.measure import MAX_REPEATS, MAX_ROUNDS, in_own_process, interleave, peak_growth, summarise

MB = 2**20
CPU = torch.device("cpu")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is exact on Linux only")
def test_growth_is_that_of_the_action_alone() -> None:
    mine = b"x" * (200 * MB)  # the memory of the parent does not count
    grown = in_own_process(peak_growth, partial(operator.mul, b"x", 64 * MB), CPU)
    assert len(mine) == 200 * MB
    assert grown is not None
    assert 63 * MB < grown < 70 * MB  # the system counts pages a little late
    idle = in_own_process(peak_growth, int, CPU)
    assert idle is not None
    assert idle < 4 * MB


def test_memory_of_other_devices_is_unknown() -> None:
    assert peak_growth(int, torch.device("mps")) is None


def test_result_and_error_are_passed_on() -> None:
    assert in_own_process(operator.add, 2, 3) == 5
    assert in_own_process(os.getpid) != os.getpid()
    with pytest.raises(ZeroDivisionError):
        in_own_process(operator.truediv, 1, 0)


def test_process_that_dies_gives_none() -> None:
    assert in_own_process(os._exit, 9) is None


def test_actions_take_turns() -> None:
    calls: list[str] = []

    def slow() -> None:
        calls.append("slow")
        time.sleep(0.02)

    taken = interleave({"slow": slow, "quick": lambda: calls.append("quick")}, CPU, rounds=3, seconds=0)
    assert calls[:4] == ["slow", "quick", "slow", "quick"]
    assert "".join(call[0] for call in calls) == "sq" + 2 * ("s" + MAX_REPEATS * "q")
    assert len(taken["slow"]) == 3
    assert len(taken["quick"]) == 1 + 2 * MAX_REPEATS
    assert min(taken["slow"]) >= 0.02 > max(taken["quick"])


def test_rounds_end_with_the_time_or_the_maximum() -> None:
    assert len(interleave({"a": lambda: None}, CPU, rounds=2, seconds=60)["a"]) == MAX_ROUNDS
    assert len(interleave({"a": lambda: time.sleep(0.03)}, CPU, rounds=1, seconds=0.1)["a"]) in (3, 4)


def test_summarise() -> None:
    found = summarise([3.0, 1.0, 10.0])
    assert (found["median"], found["min"], found["max"]) == (3.0, 1.0, 10.0)
    assert found["samples"] == [3.0, 1.0, 10.0]
    assert summarise([1.0, 2.0])["median"] == pytest.approx(1.5)
