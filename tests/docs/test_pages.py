"""What the pages say of commands, files and names is so."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hsi
from hsi.datasets.catalogue import description

OTHERS = {"--gpus-per-node"}  # options of SLURM that a page names


@pytest.fixture(scope="module")
def pages(root: Path) -> dict[str, str]:
    """Text of each page by its name, and of the pages that readers meet beside the site."""
    files = [*sorted((root / "docs").rglob("*.md")), root / "README.md", root / "CONTRIBUTING.md"]
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in files}


@pytest.fixture(scope="module")
def flags(root: Path) -> dict[str, set[str]]:
    """The options of each command, by the words that call it."""
    script = runpy.run_path(str(root / "docs" / "make_command_line.py"))
    return {words: script["flags_of"](command) for words, command in script["commands"]()}


def code_lines(text: str) -> Iterator[str]:
    """Yield the lines of code blocks, continued lines joined, and code within sentences."""
    for block in re.findall(r"^```(?:sh|bash)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def calls(text: str, known: dict[str, set[str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield each call of hsi: its words, and the options that follow."""
    for line in code_lines(text):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # prose with an apostrophe
            continue
        at = next((i for i, word in enumerate(words) if word == "hsi" or word.endswith("/hsi")), None)
        if at is None or (at and words[at - 1] in ("import", "from")):
            continue
        command, rest = "hsi", words[at + 1 :]
        while rest and f"{command} {rest[0]}" in known:
            command, rest = f"{command} {rest[0]}", rest[1:]
        yield command, rest


def test_commands_on_pages_exist(pages: dict[str, str], flags: dict[str, set[str]]) -> None:
    seen = set()
    for page, text in pages.items():
        for command, rest in calls(text, flags):
            seen.add(command)
            if command == "hsi" and rest and re.fullmatch("[a-z]+", rest[0]):
                pytest.fail(f"{page}: there is no verb '{rest[0]}'")
            for word in rest:
                name = word.partition("=")[0]
                assert not name.startswith("--") or name in flags[command], f"{page}: {command} has no {name}"
    assert {"hsi train", "hsi map", "hsi scene new", "hsi compare", "hsi export", "hsi sweep"} <= seen


def test_options_in_sentences_exist(pages: dict[str, str], flags: dict[str, set[str]]) -> None:
    known = set().union(*flags.values()) | OTHERS
    for page in pages.keys() - {"CONTRIBUTING.md"}:  # which names those of other programs
        for line in code_lines(pages[page]):
            if line.startswith("--"):
                name = re.split(r"[ =]", line)[0]
                assert name in known, f"{page}: no command has {name}"


def test_every_option_of_every_command_is_in_the_reference(root: Path, flags: dict[str, set[str]]) -> None:
    text = runpy.run_path(str(root / "docs" / "make_command_line.py"))["command_line"]()
    for section in text.split("\n## ")[1:]:
        command, _, body = section.partition("\n")
        shown = set(re.findall(r"`(-[^`]*)`", body))
        assert flags[command] - {"--help", "-h"} <= shown, command


def test_links_between_files_lead_somewhere(root: Path, pages: dict[str, str]) -> None:
    """The site's own build checks them too; this is what someone meets who reads the files as they are."""
    for page, text in pages.items():
        for link in re.findall(r"\]\((?![a-z]+:|#)([^)\s#]+)", text):
            assert ((root / page).parent / link).exists(), f"{page} links to {link}"


def test_every_public_name_is_in_the_reference(pages: dict[str, str]) -> None:
    text = pages["docs/reference/api.md"]
    shown = {path.rpartition(".")[2]: path for path in re.findall(r"^::: (\S+)", text, re.MULTILINE)}
    assert set(hsi.__all__) | set(hsi.explain.__all__) - _results() | set(hsi.figures.__all__) <= set(shown)
    assert {shown[name] for name in hsi.__all__} == {f"hsi.{name}" for name in hsi.__all__}


def _results() -> set[str]:
    """Return the classes of `hsi.explain`: what its functions return."""
    return {name for name in hsi.explain.__all__ if isinstance(getattr(hsi.explain, name), type)}


@pytest.fixture
def runs(small_scene: Path, tmp_path: Path) -> list[Path]:
    """A finished run of a network and one of an estimator."""
    shared = {"dataset": str(small_scene), "scheme": "random", "train": 0.2, "val": 0.2, "patch": 7}
    sizes = {"layers": [1, 1, 1], "growth": [4, 4, 4]}
    net = hsi.train("densenet3d", epochs=1, model_options=sizes, out=tmp_path / "net", **shared)
    return [net.path, hsi.train("knn", smooth="mean", out=tmp_path / "knn", **shared).path]


def table_of(text: str, heading: str) -> set[str]:
    """Return the first cells of the tables under a heading, without their backticks."""
    section = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, flags=re.MULTILINE)[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall("`([^`]+)`", cell)}


def test_metrics_are_as_the_page_says(pages: dict[str, str], runs: list[Path]) -> None:
    text = pages["docs/reference/metrics.md"]
    for run in runs:
        metrics = json.loads((run / "metrics.json").read_text())
        assert table_of(text, "Facts") == metrics.keys() - {"train", "val", "test"}
        for subset in ("train", "val", "test"):
            assert table_of(text, "Scores") == metrics[subset].keys()
        assert table_of(text, "Calibration") == metrics["calibration"].keys()
    assert table_of(text, "Smoothing") == metrics["smoothing"].keys() - {"width"}  # a setting of this method


def test_run_folder_is_as_the_page_says(pages: dict[str, str], runs: list[Path]) -> None:
    text = pages["docs/reference/run-folder.md"]
    files = table_of(text, "The run folder")
    found = [{one.relative_to(run).as_posix() for one in run.rglob("*") if one.is_file()} for run in runs]
    assert found[0] == files
    assert found[1] <= files
    environment: dict[str, Any] = json.loads((runs[0] / "environment.json").read_text())
    assert table_of(text, "environment.json") == environment.keys()
    columns = (runs[0] / "history.csv").read_text().partition("\n")[0].split(",")
    assert table_of(text, "history.csv") == set(columns)


def test_keys_of_a_description_are_as_the_page_says(pages: dict[str, str]) -> None:
    keys = table_of(pages["docs/reference/file-formats.md"], "scene.toml")
    assert {key.strip("[]") for key in keys} == set(description._KINDS)
