"""Growth of peak memory, in processes of their own."""

from __future__ import annotations

import operator
import os
import sys
from functools import partial

import pytest
import torch

from hsi.bench.isolated import in_own_process
from hsi.bench.memory import peak_growth

MB = 2**20
CPU = torch.device("cpu")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is exact on Linux only")
def test_growth_is_that_of_the_action_alone() -> None:
    mine = b"x" * (200 * MB)  # what the parent holds does not count
    grown = in_own_process(peak_growth, partial(operator.mul, b"x", 64 * MB), CPU)
    assert len(mine) == 200 * MB
    assert grown is not None
    assert 63 * MB < grown < 70 * MB  # the system counts pages a little late
    idle = in_own_process(peak_growth, int, CPU)
    assert idle is not None
    assert idle < 4 * MB


def test_other_devices_are_not_guessed() -> None:
    assert peak_growth(int, torch.device("mps")) is None


def test_result_and_error_come_back() -> None:
    assert in_own_process(operator.add, 2, 3) == 5
    assert in_own_process(os.getpid) != os.getpid()
    with pytest.raises(ZeroDivisionError):
        in_own_process(operator.truediv, 1, 0)


def test_a_process_that_dies_gives_none() -> None:
    assert in_own_process(os._exit, 9) is None
