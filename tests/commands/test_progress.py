"""What a training shows while it runs and when it ends."""

import os
import re
import shlex
import subprocess
import sys

import pytest

import hsi
from hsi.commands.app import run
from hsi.commands.progress import clock, sparkline


@pytest.fixture
def train(small_scene, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = "--dataset scene.toml --scheme random --train 0.2 --val 0.2 --batch 16 --device cpu"
    return ["train", *tiny, *options.split()]


def test_a_sparkline_goes_from_the_lowest_to_the_highest():
    assert sparkline([0.0, 1.0, 0.5, 0.0], ascii_only=False)[:2] == "▁█"
    assert sparkline([0.0, 0.5, 1.0], ascii_only=True) == "_=#"
    assert sparkline([0.3, 0.3]) == "▁▁"
    assert sparkline([]) == ""
    assert sparkline(range(80), 8) == "▁▂▃▄▅▆▇█"


def test_time_left_in_hours_minutes_seconds():
    assert [clock(seconds) for seconds in (0, 59.2, 61, 3600, 36061)] == [
        "0:00", "1:00", "1:01", "1:00:00", "10:01:01",
    ]  # fmt: skip


def test_in_a_pipe_a_line_an_epoch_below_one_header(train, capsys):
    assert run([*train, "--epochs", "3", "--out", "r"]) == 0
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    lines = shown.splitlines()
    (head,) = (number for number, line in enumerate(lines) if "patches/s" in line)
    history = hsi.open_run("r").history
    for row, line in zip(history, lines[head + 1 : head + 4], strict=True):
        epoch, loss, val, best, number = line.split()[:5]
        earlier = [one["val_oa"] for one in history[: int(row["epoch"]) + 1]]
        assert epoch == f"{row['epoch'] + 1:.0f}/3"
        assert loss == f"{row['train_loss']:.4f}"
        assert val == f"{100 * row['val_oa']:.2f}"
        assert best == f"{100 * max(earlier):.2f}"
        assert 100 * history[int(number.strip("()")) - 1]["val_oa"] == pytest.approx(float(best), abs=0.005)
        assert len(line) == len(lines[head])
    assert lines[head + 4].startswith("Scoring ")


def test_in_a_pipe_a_line_for_each_tenth_of_many_epochs(train, capsys):
    assert run([*train, "--epochs", "30", "--out", "r"]) == 0
    shown = capsys.readouterr().err
    assert re.findall(r"^ *(\d+)/30 ", shown, re.MULTILINE) == [str(3 * tenth) for tenth in range(1, 11)]


def test_the_commands_that_follow_can_be_pasted(train, capsys):
    plain = ["train", "--model", "cnn1d", *train[train.index("--dataset") :]]
    assert run([*plain, "--epochs", "1", "--out", "my first"]) == 0
    commands = [line.split(": ", 1)[1] for line in capsys.readouterr().err.splitlines() if ": " in line]
    report, map_, baseline = (shlex.split(line) for line in commands if line.strip().startswith("hsi "))
    assert report[:3] == ["hsi", "report", "my first"]
    assert run(map_[1:]) == 0
    capsys.readouterr()
    assert run([*baseline[1:], "--out", "base"]) == 0
    shown = capsys.readouterr()
    assert "Run: base" in shown.out
    (compare,) = (line.split(": ", 1)[1] for line in shown.err.splitlines() if "hsi compare" in line)
    assert shlex.split(compare) == ["hsi", "compare", "base", "my first"]
    assert run(shlex.split(compare)[1:]) == 0


def test_json_leaves_the_commands_out(train, capsys):
    assert run([*train, "--epochs", "1", "--out", "r", "--json"]) == 0
    assert "hsi report" not in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
@pytest.mark.parametrize(("encoding", "letter"), [("utf-8", "[▁-█]"), ("ascii", r"[_.\-=+*#]")])
def test_a_terminal_shows_columns_with_headings_and_a_sparkline(train, encoding, letter):
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "hsi", *train, "--epochs", "3", "--out", "r"]
    child = subprocess.Popen(command, stderr=theirs, stdout=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # Linux says that the other end is closed
        pass
    os.close(ours)
    assert child.wait() == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode(encoding))
    for heading in ("epoch", "loss", "val OA %", "best (epoch)", "patches/s", "time left"):
        assert heading in shown
    assert re.search(rf"val OA  {letter}{{3}}  from [\d.]+ to [\d.]+ %", shown)
    assert "Scoring " in shown
    assert seen.count(b"\x1b[?25l") == seen.count(b"\x1b[?25h") > 0  # the cursor is shown again
