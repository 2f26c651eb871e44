"""Joining a cluster that is not there, without Ray, or by a name that is none."""

from __future__ import annotations

import socket
import sys

import pytest

from hsi.cluster.connect import connected
from hsi.commands.app import run
from hsi.errors import ClusterError


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
    said = capsys.readouterr()
    assert said.err.endswith(
        "hsi: --engine ray needs Ray, which is not installed: pip install 'hsi[cluster]'.\n"
    )
    assert said.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["e.toml"]


def test_a_cluster_that_does_not_answer_is_told_of_at_once(monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'hsi[cluster]'")
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with (
            pytest.raises(ClusterError, match=f"RAY_ADDRESS={address} cannot be joined .*refused"),
            connected(),
        ):
            pass
