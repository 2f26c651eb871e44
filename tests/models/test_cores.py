"""Waiting threads beside other processes: who uses the cores, and that results stay the same."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional as F

import hsi
from hsi.models import cores

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only GNU's OpenMP on Linux can be told how to wait"
)


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(cores, "available_cores", lambda: 2)
    monkeypatch.setattr(cores, "INTERVAL", 0.01)
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    yield
    torch.set_num_threads(before)


class Machine:
    """Stands in for the rest of the machine: other processes use `others` cores."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, others: float) -> None:
        self.others, self.used, self.now = others, 0.0, 0.0
        self.looked = threading.Semaphore(0)
        monkeypatch.setattr(cores, "cores_used_by_others", self.look)

    def look(self) -> tuple[float, float]:
        self.used, self.now = self.used + self.others, self.now + 1
        self.looked.release()
        return self.used, self.now

    def wait(self) -> None:
        """Return once the machine has been looked at several times more."""
        for _ in range(4):
            assert self.looked.acquire(timeout=60)

    @property
    def busy_all(self) -> int:
        """Cores others must use for none to be free beside the threads of this process."""
        return len(os.sched_getaffinity(0))


def threads_of_this_process() -> int:
    return len(os.listdir("/proc/self/task"))


def step() -> list[torch.Tensor]:
    torch.manual_seed(0)
    model = hsi.build_model("wcnet", bands=24, classes=5, patch=9)
    F.cross_entropy(model(torch.randn(4, 24, 9, 9)), torch.arange(4)).backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


@linux
def test_threads_sleep_while_others_need_the_cores_and_results_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, messages = step(), []
    before = threads_of_this_process()
    machine = Machine(monkeypatch, others=0)
    with cores.shared_cores(messages.append):
        machine.wait()
        assert messages == []
        machine.others = machine.busy_all
        machine.wait()
        assert threads_of_this_process() > before + 1  # the watcher, and the crowd that makes others sleep
        crowded = step()
        machine.others = 0
        machine.wait()
        machine.others = machine.busy_all
        machine.wait()
    assert all(torch.equal(a, b) for a, b in zip(crowded, expected, strict=True))
    assert len(messages) == 1
    assert "changes no result" in messages[0]
    assert torch.get_num_threads() == 2
    assert threading.active_count() == 1 or all("_watch" not in t.name for t in threading.enumerate())


@linux
@pytest.mark.parametrize(("name", "value"), [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "5")])
def test_what_the_user_asked_of_openmp_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    messages: list[str] = []
    machine = Machine(monkeypatch, others=99)
    with cores.shared_cores(messages.append):
        assert not machine.looked.acquire(timeout=0.1)
    assert messages == []


@linux
def test_one_context_within_another_watches_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, others=0)
    with cores.shared_cores():
        count = threading.active_count()
        with cores.shared_cores():
            assert threading.active_count() == count
        machine.wait()


def test_no_more_threads_than_the_container_allows() -> None:
    torch.set_num_threads(5)
    with cores.shared_cores():
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 5


@linux
def test_own_work_is_not_that_of_others_and_a_busy_process_is() -> None:
    def others_during(seconds: float) -> tuple[float, float]:
        first, own = cores.cores_used_by_others(), time.process_time()
        end, value = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            value += 1  # this process is busy all the time
        last = cores.cores_used_by_others()
        assert first is not None
        assert last is not None
        took = last[1] - first[1]
        return (last[0] - first[0]) / took, (time.process_time() - own) / took

    alone, own = others_during(1.0)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        beside, _ = others_during(1.0)
    finally:
        busy.kill()
        busy.wait()
    assert beside > 0.2
    assert alone < len(os.sched_getaffinity(0)) - own + 0.3


def test_a_machine_that_does_not_tell_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "cores_used_by_others", lambda: None)
    with cores.shared_cores():
        assert torch.get_num_threads() == 2
