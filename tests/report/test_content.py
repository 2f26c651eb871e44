from pathlib import Path

import pytest

from hsi.report.content import command_line, short_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/a"], ["a"]),
        (["x/seed0", "y/seed0", "x/seed1"], ["x/seed0", "y/seed0", "x/seed1"]),
        (["runs/a", "runs/b"], ["a", "b"]),
        (["runs/a", "runs/a"], ["a", "a"]),
    ],
)
def test_names_are_as_short_as_they_can_be(paths, names):
    assert short_names([Path(path) for path in paths]) == names


def test_the_command_line_can_be_typed_again():
    line = ["/somewhere/bin/hsi", "train", "--out", "my runs/1"]
    assert command_line({"command_line": line}) == "hsi train --out 'my runs/1'"
    assert command_line({}) == ""
