"""environment.json: enough to build the environment of a run again."""

import json
import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hsi
from hsi.datasets import load_scene
from hsi.runs import environment
from hsi.runs.environment import describe_environment, requirements

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


@pytest.fixture(scope="module")
def pins():
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, requirements())}


def test_every_pin_is_what_is_installed_and_nothing_needed_is_missing(pins):
    assert {"torch", "numpy", "safetensors", "filelock", "markupsafe"} <= set(pins)  # direct, and of those
    assert "hsi-toolkit" not in pins
    assert "pytest" not in pins
    for name, pin in pins.items():
        assert pin.specifier.contains(version(name), prereleases=True), name
        for line in distribution(name).requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in pins, f"{name} needs {needed.name}"
                assert needed.specifier.contains(version(needed.name), prereleases=True)


def test_the_pins_are_those_of_the_constraints(pins):
    if sys.version_info[:2] != (3, 11):
        pytest.skip("constraints.txt is for Python 3.11")
    lines = [line.partition("#")[0].strip() for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines()]
    held = {canonicalize_name(one.name): one for one in map(Requirement, filter(None, lines))}
    free = {name for name in pins if name not in held}
    # pip leaves its own tools out of a list of versions; builds for GPUs bring parts of their own.
    assert {name for name in free if not name.startswith(("nvidia-", "cuda-", "triton"))} <= {"setuptools"}
    for name in pins.keys() & held.keys():
        (number,) = (clause.version for clause in pins[name].specifier)
        assert held[name].specifier.contains(number), name


def test_the_documented_command_writes_what_pip_takes(small_scene, tmp_path):
    facts = describe_environment(torch.device("cpu"), load_scene(str(small_scene)))
    (tmp_path / "environment.json").write_text(json.dumps(facts), encoding="utf-8")
    lines = [line.strip() for line in (environment.__doc__ or "").splitlines()]
    (command,) = [line for line in lines if line.startswith("python -c")]
    subprocess.run(command.replace("python", f"'{sys.executable}'", 1), shell=True, cwd=tmp_path, check=True)
    written = (tmp_path / "pins.txt").read_text(encoding="utf-8").split()
    assert written == requirements()
    said = ["install", "--dry-run", "--no-index", "--no-build-isolation", "-r", "pins.txt"]
    pip = subprocess.run([sys.executable, "-m", "pip", *said], cwd=tmp_path, capture_output=True, text=True)
    assert pip.returncode == 0, pip.stderr
    assert "Would install" not in pip.stdout  # all of it is what is installed here


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(environment, "PACKAGES", ("torch", "no-such-package"))
    assert not any("no-such-package" in pin for pin in requirements())


def test_a_checkout_that_is_not_installed_still_lists_its_packages(monkeypatch):
    real = environment.distribution

    def without_hsi(name):
        if name == "hsi-toolkit":
            raise environment.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(environment, "distribution", without_hsi)
    found = {pin.partition("==")[0] for pin in requirements()}
    assert {"torch", "numpy", "sympy", "rich"} <= found


def test_the_working_folder_is_recorded(small_scene, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    facts = describe_environment(torch.device("cpu"), load_scene(str(small_scene)))
    assert Path(facts["working_folder"]).samefile(tmp_path)
    assert facts["hsi"] == hsi.__version__
