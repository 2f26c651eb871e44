"""The folder that machines share: another one of the same name is found out."""

from __future__ import annotations

import os
import shutil

import pytest

from hsi.cluster.shared_folder import NAME, verified_folder, working_folder
from hsi.errors import ClusterError


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HSI_WORD", "ours")


def test_it_is_entered_with_the_variables_of_the_command(tmp_path, monkeypatch):
    with verified_folder(tmp_path / "runs") as shared:
        monkeypatch.setenv("HSI_WORD", "theirs")
        os.chdir("/")
        shared.enter()
        assert (os.getcwd(), os.environ["HSI_WORD"]) == (str(tmp_path), "ours")
    assert list((tmp_path / "runs").iterdir()) == []


def test_another_folder_of_the_name_or_none_is_refused(tmp_path):
    with verified_folder(tmp_path / "runs") as shared:
        (tmp_path / "runs" / NAME).write_text("of another sweep")
        with pytest.raises(ClusterError, match=r"does not see .*a file system that all its machines share"):
            shared.enter()
        shutil.rmtree(tmp_path / "runs")
        with pytest.raises(ClusterError, match="does not see"):
            shared.enter()
    gone = working_folder()
    os.chdir("/")
    os.rmdir(tmp_path)
    with pytest.raises(ClusterError, match="does not see"):
        gone.enter()
