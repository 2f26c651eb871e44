"""Files are whole or not there."""

import pytest

from hsi.runs.atomic import write_text, written_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "metrics.json"
    write_text(path, "old")

    def fail_half_way():
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def test_a_write_replaces_the_old_file(tmp_path):
    path = tmp_path / "metrics.json"
    write_text(path, "old")
    write_text(path, "new, ä")
    assert path.read_text(encoding="utf-8") == "new, ä"
    assert len(list(tmp_path.iterdir())) == 1
