"""Joining a Ray cluster that is missing or not installed, and sharing its machines among tasks."""

from __future__ import annotations

import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi.cluster.connect import Machine, choose_device, cluster_workers, connected
from hsi.commands.app import run
from hsi.errors import ClusterError, ConfigError
from hsi.sweep.workers import choose_workers


@pytest.mark.parametrize("words", [["sweep", "e.toml"], ["map", "run", "--out", "a.npy"]])
def test_an_unknown_engine_is_refused_before_all_else(words, capsys):
    assert run([*words, "--engine", "rya"]) == 2
    assert capsys.readouterr().err == "hsi: Unknown engine 'rya'. Did you mean 'ray'? Known: local, ray.\n"


def test_without_ray_one_sentence_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "e.toml").write_text(
        '[scenes.demo]\n[models.logistic]\n[protocols.r]\nscheme = "random"\n', encoding="utf-8"
    )
    assert run(["sweep", "e.toml", "--engine", "ray"]) == 2
    shown = capsys.readouterr()
    assert shown.err.endswith(
        "hsi: --engine ray needs Ray, which is not installed: pip install 'hsi-toolkit[cluster]'.\n"
    )
    assert shown.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["e.toml"]


def test_a_cluster_that_does_not_answer_is_reported_at_once(monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'hsi-toolkit[cluster]'")
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with (
            pytest.raises(ClusterError, match=f"RAY_ADDRESS={address} cannot be joined .*refused"),
            connected(),
        ):
            pass


MACHINES = st.lists(
    st.builds(Machine, st.integers(1, 70), st.integers(0, 4), st.floats(100, 1e6)), min_size=1, max_size=5
)


@given(MACHINES, st.integers(1, 300), st.floats(50, 5000), st.booleans())
def test_all_fit_at_once_and_one_more_thread_or_task_would_not(machines, tasks, need, gpu):
    device = "cuda" if gpu else "cpu"
    if gpu and not any(machine.gpus for machine in machines):
        with pytest.raises(ClusterError):
            cluster_workers(machines, None, tasks, need, device=device)
        return
    made = cluster_workers(machines, None, tasks, need, device=device)

    def places(threads):
        return sum(
            sum(
                (task + 1) * threads <= machine.cpus
                and (task == 0 or (task + 1) * need <= machine.memory_mb)
                and (not gpu or task < machine.gpus)
                for task in range(machine.cpus)
            )
            for machine in machines
        )

    assert 1 <= made.count <= tasks
    assert places(made.threads) >= made.count
    assert places(made.threads + 1) < made.count
    assert made.count == tasks or places(1) == made.count


@pytest.mark.parametrize("requested", [None, 1, 3, 8, 9, 30])
@pytest.mark.parametrize("tasks", [1, 5, 100])
def test_one_machine_is_shared_as_without_a_cluster(monkeypatch, requested, tasks):
    monkeypatch.setattr("hsi.sweep.workers.available_cores", lambda: 8)
    alone = choose_workers(requested, tasks, 100, free_mb=1e6)
    made = cluster_workers([Machine(8, 0, 1e6)], requested, tasks, 100)
    assert (made.count, made.threads) == (alone.count, alone.threads)


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        cluster_workers([Machine(1, 0, 1000)], 0, 1, 100)
    with pytest.raises(ClusterError, match="no machine with a free core"):
        cluster_workers([], None, 1, 100)


def test_the_device():
    plain, gpu = Machine(4, 0, 1000), Machine(4, 1, 1000)
    assert choose_device("auto", [plain]) == choose_device("cpu", [plain, gpu]) == "cpu"
    assert choose_device("auto", [plain, gpu]) == choose_device("cuda", [gpu]) == "cuda"
    for requested, machines in (("cuda", [plain]), ("mps", [gpu])):
        with pytest.raises(ConfigError, match=f"has a device '{requested}'"):
            choose_device(requested, machines)
