"""Running runs: failing ones, killed ones, late ones, Ctrl-C. The processes are small stand-ins."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from hsi.errors import RunError
from hsi.io.locks import sweep_lock
from hsi.io.signals import sigterm_as_ctrl_c
from hsi.runs.status import RunState
from hsi.sweep.execute import LocalRun, SweepCallback, execute

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
FINISH = "open({folder!r} + '/metrics.json', 'w').write('{{}}')"
BEGIN = "import os; os.makedirs({folder!r}, exist_ok=True); open({folder!r} + '/config.toml', 'w').close(); "


@pytest.fixture
def script(monkeypatch):
    """Let each run be a line of Python, by its key; the commands are kept."""
    lines: dict[str, str] = {}
    commands: list[list[str]] = []
    real = LocalRun._command

    def command(self, data_root):
        commands.append(real(self, data_root))
        line = lines.get(self.run.key, BEGIN + FINISH)
        return [sys.executable, "-S", "-c", line.format(folder=str(self.run.folder))]

    monkeypatch.setattr(LocalRun, "_command", command)
    monkeypatch.setattr("hsi.sweep.execute.POLL_SECONDS", 0.01)
    return lines, commands


class Heard(SweepCallback):
    def __init__(self):
        self.words = []
        self.most = 0

    def started(self, handle):
        self.words.append(("started", handle.run.key))

    def finished(self, handle):
        self.words.append(("finished", handle.run.key))

    def failed(self, run, reason):
        self.words.append(("failed", run.key))

    def tick(self, running, waiting):
        self.most = max(self.most, len(running))


def test_all_are_made_some_at_a_time(plan, script):
    heard = Heard()
    outcome = execute(plan, workers=3, threads=1, callback=heard)
    assert sorted(run.key for run in outcome.done) == sorted(run.key for run in plan)
    assert not outcome.failed
    assert not outcome.left
    assert 2 <= heard.most <= 3
    assert heard.words.count(("finished", plan[0].key)) == 1
    _, commands = script
    first = commands[0]
    assert first[1:4] == ["-m", "hsi", "train"]
    assert first[first.index("--out") + 1] == str(plan[0].folder)
    options = plan[0].folder.with_name("seed0.toml")
    assert first[first.index("--config") + 1] == str(options)
    assert options.read_text() == plan[0].config.to_toml()


def test_a_failing_run_stops_no_other(plan, script):
    lines, _ = script
    lines[plan[0].key] = "import sys; print('hsi: No such thing.'); sys.exit(2)"
    lines[plan[1].key] = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    lines[plan[2].key] = "pass"  # ends well, but makes nothing
    outcome = execute(plan[:4], workers=2, threads=1)
    assert [run.key for run in outcome.done] == [plan[3].key]
    reasons = {run.key: reason for run, reason in outcome.failed}
    assert reasons[plan[0].key] == "No such thing."
    assert "killed by signal 9" in reasons[plan[1].key]
    assert reasons[plan[2].key] == "ended with status 0"


def test_a_killed_run_is_resumed(plan, script):
    lines, commands = script
    run = plan[0]
    lines[run.key] = BEGIN + "import signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert len(execute([run], workers=1, threads=1).failed) == 1
    assert run.state is RunState.INTERRUPTED
    lines[run.key] = FINISH
    assert execute([run], workers=1, threads=1, data_root="data").done == [run]
    assert commands[-1][3:] == ["train", "--resume", str(run.folder), "--data-root", "data"]


def test_an_unstarted_run_starts_again_and_a_foreign_folder_is_kept(plan, script):
    (plan[0].folder / "checkpoint").mkdir(parents=True)
    (plan[0].folder / "split.npz").touch()
    (plan[0].folder / ".environment.json.7.tmp").touch()
    plan[1].folder.mkdir(parents=True)
    (plan[1].folder / "notes.txt").write_text("mine")
    outcome = execute(plan[:2], workers=1, threads=1)
    assert outcome.done == [plan[0]]
    assert not (plan[0].folder / "split.npz").exists()
    assert "not a run folder" in outcome.failed[0][1]
    assert (plan[1].folder / "notes.txt").read_text() == "mine"


SLEEP = BEGIN + "import time; time.sleep(60)"


def test_a_time_limit_leaves_the_rest(plan, script):
    lines, _ = script
    lines.update({run.key: SLEEP for run in plan[1:]})
    outcome = execute(plan, workers=2, threads=1, max_seconds=1.0)
    assert outcome.done == [plan[0]]
    assert not outcome.failed
    assert {run.key for run in outcome.left} == {run.key for run in plan[1:]}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_stop_the_running_ones(plan, script, number):
    lines, _ = script
    lines[plan[0].key] = SLEEP
    handles = []

    class Interrupting(SweepCallback):
        def started(self, handle):
            handles.append(handle)

        def tick(self, running, waiting):
            if handles[0].run.state is RunState.INTERRUPTED:
                os.kill(os.getpid(), number)

    with sigterm_as_ctrl_c(), pytest.raises(KeyboardInterrupt):
        execute(plan, workers=1, threads=1, callback=Interrupting())
    assert not handles[0].running
    assert plan[0].state is RunState.INTERRUPTED
    assert plan[1].state is RunState.MISSING


def test_threads_and_the_log(plan, script):
    lines, _ = script
    lines[plan[0].key] = "import os; print(os.environ['OMP_NUM_THREADS'])"
    execute(plan[:1], workers=1, threads=3)
    assert plan[0].folder.with_name("seed0.log").read_text() == "3\n"


def test_one_sweep_at_a_time_and_runs_keep_the_lock(plan, script, tmp_path):
    lines, _ = script
    lines[plan[0].key] = SLEEP
    with sweep_lock(tmp_path) as lock:
        with pytest.raises(RunError, match="still at work"), sweep_lock(tmp_path):
            pass
        handle = LocalRun(plan[0], threads=1, lock=lock)
    with pytest.raises(RunError, match="still at work"), sweep_lock(tmp_path):
        pass
    handle.process.kill()
    handle.process.wait()
    with sweep_lock(tmp_path):
        pass


def test_sigterm_is_left_alone_outside_the_main_thread():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def inside():
        with sigterm_as_ctrl_c():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    time.sleep(0)
    assert seen == [before]


def test_a_background_job_that_ignores_ctrl_c_stops_its_runs_too(plan, script):
    lines, _ = script
    lines[plan[0].key] = SLEEP
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        handle = LocalRun(plan[0], threads=1)
        handle.interrupt()
        handle.process.wait(5)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not handle.running
