"""`hsi train` under torchrun: real processes, one voice, and what happens when one of them dies."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import psutil
import pytest
import torch

import hsi
from hsi.commands.app import run
from hsi.commands.torchrun import Launched, launched
from hsi.errors import ConfigError
from hsi.models.cnn1d import CNN1D

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


@pytest.fixture
def train(small_scene, tmp_path, monkeypatch):
    """Arguments of a training of a network without batch norm."""
    monkeypatch.chdir(tmp_path)
    options = "--patch 3 --dataset scene.toml --scheme random --train 0.2 --val 0.2 --batch 16 --device cpu"
    return ["train", "--model", "cnn1d", *options.split()]


@pytest.fixture
def place(monkeypatch):
    def be(rank, count, local=None):
        for name, value in (("RANK", rank), ("WORLD_SIZE", count), ("LOCAL_RANK", local)):
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, str(value))

    return be


def as_ranks(count, arguments, during=lambda world: None):
    """Run a command as so many ranks, each forked from here; return status, output and errors of each."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def be(number):
        where = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": count}
        where |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port}
        where |= {"TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}  # as torchrun does
        os.environ.update({name: str(value) for name, value in where.items()})
        with (
            open(f"out{number}", "w", encoding="utf-8") as out,
            open(f"err{number}", "w", encoding="utf-8") as err,
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            status = run(arguments)
        os._exit(status)

    context = multiprocessing.get_context("fork")
    world = [context.Process(target=be, args=(number,)) for number in range(count)]
    for rank in world:
        rank.start()
    during(world)
    for rank in world:
        rank.join(120)
    said = [[Path(f"{name}{n}").read_text(encoding="utf-8") for name in ("out", "err")] for n in range(count)]
    return [(rank.exitcode, *words) for rank, words in zip(world, said, strict=True)]


def test_the_environment_says_which_rank_this_is(place):
    place(None, None)
    assert launched() is None
    place(2, 4, 1)
    assert launched() == Launched(2, 4, 1)
    place(2, 4)
    assert launched() == Launched(2, 4, 2)
    place(0, 1, 0)
    assert launched() is None
    for wrong in (("x", 4), (4, 4), (-1, 2), (0, 0), (1, 2, -1)):
        place(*wrong)
        with pytest.raises(ConfigError):
            launched()


@pytest.mark.parametrize(
    "arguments", [["scenes"], ["evaluate", "there"], ["sweep", "x.toml"], ["scene", "new"]]
)
def test_other_verbs_are_refused_and_only_the_first_rank_says_so(arguments, place, capsys):
    place(0, 2, 0)
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (
        "",
        f"hsi: Several processes share only hsi train; start hsi {arguments[0]} without torchrun.\n",
    )
    place(1, 2, 1)
    assert run(arguments) == 2
    assert capsys.readouterr() == ("", "")


def test_a_place_that_cannot_be_is_one_sentence(place, capsys):
    place("x", 2)
    assert run(["train", "--model", "cnn1d", "--dataset", "demo"]) == 2
    assert capsys.readouterr().err.startswith("hsi: RANK, WORLD_SIZE and LOCAL_RANK must be whole numbers")


def test_wrong_input_is_said_once_and_leaves_nothing(train, tmp_path):
    there = set(os.listdir())
    answers = as_ranks(2, [*train, "--batch", "3", "--out", "run"])
    assert [status for status, _, _ in answers] == [2, 2]
    assert "".join(err for _, _, err in answers).count("Each of 2 processes needs 2 patches") == 1
    assert set(os.listdir()) - there == {"out0", "err0", "out1", "err1"}


def test_trackers_are_told_by_one_rank(train, tmp_path):
    pytest.importorskip("tensorboard")
    answers = as_ranks(2, [*train, "--epochs", "1", "--out", "run", "--track", "tensorboard"])
    assert [status for status, _, _ in answers] == [0, 0]
    files = [path.name for path in (tmp_path / "run").rglob("events.out*")]
    assert len({re.search(r"\.(\d+)\.\d+$", name)[1] for name in files}) == 1  # of one process


def test_memory_that_runs_out_on_one_rank_ends_all_with_its_reason(train, monkeypatch):
    steps = []
    plain = CNN1D.forward

    def forward(self, x):
        steps.append(self.training)
        if sum(steps) == 3 and torch.distributed.get_rank() == 1:
            raise MemoryError
        return plain(self, x)

    monkeypatch.setattr(CNN1D, "forward", forward)
    answers = as_ranks(3, [*train, "--epochs", "2", "--out", "run"])
    assert [status for status, _, _ in answers] == [1] * 3
    assert [out for _, out, _ in answers] == [""] * 3
    assert answers[1][2].startswith(
        "hsi: Memory ran out in epoch 1 with batches of 16 patches; use --batch-size"
    )
    assert answers[2][2] == ""
    assert "hsi: " not in answers[0][2]
    assert hsi.open_run("run").config.batch == 16


def test_a_rank_that_waits_inside_a_library_still_says_how_to_go_on(train, monkeypatch, tmp_path):
    plain = CNN1D.forward

    def forward(self, x):
        if self.training and torch.distributed.get_rank() == 1:
            (tmp_path / "hangs").touch()
            time.sleep(100)
        return plain(self, x)

    def during(world):
        while not (tmp_path / "hangs").exists():
            assert all(rank.is_alive() for rank in world)
            time.sleep(0.02)
        time.sleep(0.3)
        world[0].terminate()  # it waits for the gradient of the other
        world[0].join(60)
        world[1].kill()

    monkeypatch.setattr(CNN1D, "forward", forward)
    monkeypatch.setattr("hsi.io.signals.PATIENCE", 0.2)
    first, second = as_ranks(2, [*train, "--out", "run"], during)
    assert first[0] == 1
    assert first[2].endswith("resume with: hsi train --resume run, with any number of processes.\n")
    assert second[0] == -signal.SIGKILL


def test_a_file_that_one_rank_cannot_read_is_named(train, monkeypatch):
    plain = CNN1D.forward

    def forward(self, x):
        if self.training and torch.distributed.get_rank() == 1:
            raise FileNotFoundError(2, "No such file", "x.npy")
        return plain(self, x)

    monkeypatch.setattr(CNN1D, "forward", forward)
    answers = as_ranks(2, [*train, "--epochs", "1", "--out", "run"])
    assert [(status, err) for status, _, err in answers][1] == (1, "hsi: No such file: x.npy.\n")
    assert answers[0][0] == 1
    assert "hsi: " not in answers[0][2]


def test_torchrun_trains_what_one_process_trains(train):
    train += ["--epochs", "2", "--json"]
    assert run([*train, "--out", "one"]) == 0
    done = subprocess.run(
        [*TORCHRUN, "2", "-m", "hsi", *train, "--out", "two"], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed.pop("run") == "two"
    assert printed == hsi.open_run("two").metrics
    assert printed["ranks"] == 2
    one = hsi.open_run("one")
    for part in ("train", "val", "test"):
        assert printed[part] == one.metrics[part]
    for first, second in zip(one.history, hsi.open_run("two").history, strict=True):
        assert second["train_loss"] == pytest.approx(first["train_loss"], abs=1e-5)
        assert second["val_loss"] == pytest.approx(first["val_loss"], abs=1e-5)
    assert done.stderr.count(" 2/2 ") == 1


def test_a_killed_rank_ends_the_job_which_goes_on_with_others(train, tmp_path):
    words = [*TORCHRUN, "2", "-m", "hsi", *train, "--epochs", "100000", "--out", "run"]
    history = tmp_path / "run/history.csv"
    with open("said", "w", encoding="utf-8") as said:
        job = subprocess.Popen(words, stdout=said, stderr=said)
    try:
        patience = time.monotonic() + 120
        while not history.is_file() or len(history.read_text().splitlines()) < 3:
            assert job.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < patience
            time.sleep(0.05)
        (second,) = (p for p in psutil.Process(job.pid).children() if p.environ().get("RANK") == "1")
        second.send_signal(signal.SIGKILL)
        assert job.wait(60) != 0
    finally:
        for left in [*psutil.Process(job.pid).children(), job] if job.poll() is None else []:
            left.kill()
    shown = (tmp_path / "said").read_text()
    assert shown.count("another of its 2 processes ended") == 1
    assert "resume with: hsi train --resume run, with any number of processes." in shown
    assert "SIGKILL" in shown  # torchrun's words
    assert "RuntimeError" not in shown

    done = len(hsi.open_run("run").history)
    config = tmp_path / "run/config.toml"  # nobody waits for 100000 epochs
    config.write_text(re.sub(r"epochs = \d+", f"epochs = {done + 1}", config.read_text()))
    answers = as_ranks(4, ["train", "--resume", "run"])
    assert [status for status, _, _ in answers] == [0] * 4
    assert "Resuming in run" in answers[0][2]
    assert "OA %" in answers[0][1]
    assert [words for _, *words in answers[1:]] == [["", ""]] * 3
    assert len(hsi.open_run("run").history) == done + 1
    assert hsi.open_run("run").metrics["ranks"] == 4
