"""The CSV file of points: a round trip, and damage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.growth.points import COLUMNS, MACHINE_COLUMNS, GrowthFile, Point, points_csv, read_points
from hsi.errors import FileFormatError

MACHINE = {
    **dict.fromkeys(MACHINE_COLUMNS, "x"),
    "processor": 'A "CPU", of 2 GHz',
    "cores": 2,
    "threads": 1,
    "load_before": None,
}
POINT = Point("bands", "wcnet, training", 25, 123456789.0, "MACs", 0.012345, 0.02, 5, 12.5)


@given(
    st.builds(
        Point,
        axis=st.just("bands"),
        series=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1),
        value=st.integers(1, 10**9),
        work=st.floats(1e-3, 1e20),
        unit=st.sampled_from(["MACs", "pixels"]),
        seconds_min=st.floats(1e-6, 1e6),
        seconds_median=st.floats(1e-6, 1e6),
        repeats=st.integers(1, 100),
        peak_memory_mb=st.none() | st.floats(0, 1e6),
    ),
    st.booleans(),
    st.none() | st.floats(0, 64),
)
def test_round_trip(tmp_path_factory, point, quick, load):
    path = tmp_path_factory.mktemp("growth") / "growth-x.csv"
    path.write_text(points_csv(GrowthFile((point,), {**MACHINE, "load_before": load}, quick)), newline="")
    read = read_points(path)
    (found,) = read.points
    assert (read.quick, read.machine["load_before"]) == (quick, load)
    assert read.machine["processor"] == MACHINE["processor"]
    for name, value in vars(point).items():
        assert getattr(found, name) == (pytest.approx(value, rel=1e-4) if isinstance(value, float) else value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seconds_min", "seconds", "lacks the column 'seconds_min'"),
        ("0.012345", "nan", "is damaged"),
        ("0.012345", "-1", "is damaged"),
        ("0.012345", "soon", "is damaged"),
        ("25", "", "is damaged"),
    ],
)
def test_damage_is_one_sentence(tmp_path, old, new, message):
    path = tmp_path / "growth-x.csv"
    whole = points_csv(GrowthFile((POINT,), MACHINE, False))
    assert whole.splitlines()[0].split(",") == list(COLUMNS)
    path.write_text(whole.replace(old, new, 1))
    with pytest.raises(FileFormatError, match=message):
        read_points(path)


def test_no_file_and_no_row(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_points(tmp_path / "none.csv")
    path = tmp_path / "growth-x.csv"
    path.write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(FileFormatError, match="has no rows"):
        read_points(path)
