"""A short fuzzing run, the fuzzer's own parts, and configurations of any shape."""

from __future__ import annotations

import contextlib
import io
import math
import random
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsi.config import OPTIONS, load_config
from hsi.datasets import load_scene
from hsi.errors import FileFormatError, InputError
from hsi.sweep.experiment import read_experiment
from hsi.sweep.plan import make_plan
from torture import fuzz_worker
from torture.fuzz import fuzz
from torture.fuzz_mutate import Packed, mutate
from torture.fuzz_products import PRODUCTS, make_hdf5
from torture.fuzz_targets import Target, make_targets
from torture.fuzz_worker import damaged, judge, undamaged, write_files

SHORT = {
    "mat5": 12, "npz": 10, "geojson": 10, "scene.toml": 15, "enmap": 5, "desis": 5, "aviris": 8, "prisma": 5,
    "emit": 5, "tanager": 5, "neon": 5, "aviris_netcdf": 5, "hdf5 with bands": 5, "netcdf3": 8, "zarr": 5,
    "odd mat": 10, "odd envi": 12, "vrt": 5, "jpeg2000": 3, "imagine": 5, "lan": 5, "ehdr": 4,
    "asciigrid": 4, "nitf": 3, "pcraster": 4, "shapefile": 5, "geopackage": 5, "flatgeobuf": 5, "kml": 5,
    "kmz": 5, "gml": 5, "gpx": 5, "topojson": 5, "esrijson": 5, "mif": 5, "tab": 5, "points": 8,
    "roi text": 8, "roi xml": 5, "png": 5, "bmp": 5, "gif": 5, "library": 15, "wavelengths": 20,
}  # fmt: skip


def test_short_run_finds_no_failure(tmp_path: Path) -> None:
    outcomes = fuzz(SHORT, seed=3, runs=tmp_path)
    assert {name: one.failures for name, one in outcomes.items()} == {name: [] for name in SHORT}
    assert {name: one.trials for name, one in outcomes.items()} == SHORT
    assert 0 < sum(one.accepted for one in outcomes.values()) < sum(SHORT.values())  # some were refused


def test_every_undamaged_file_is_read(tmp_path: Path) -> None:
    targets = {target.name: target for target in make_targets(tmp_path, set(SHORT))}
    for name, target in targets.items():
        for number, files in enumerate(undamaged(target)):
            folder = tmp_path / name / str(number)
            folder.mkdir(parents=True)
            write_files(folder, files)
            target.read(folder)  # raises where all of its readers refuse
    assert set(PRODUCTS) <= set(targets)


def test_hdf5_is_made_from_a_text() -> None:
    lines = (
        'a/b : i2 3 4\na/b@unit = "nm"\nc = [1.5, 2]\n@top = 7\nnonsense\nd : what 3\nhuge : u1 99999 99999\n'
    )
    with h5py.File(io.BytesIO(make_hdf5({"layout": lines.encode()}))) as file:
        assert (file["a/b"].shape, file["a/b"].attrs["unit"], file["c"][1]) == ((3, 4), b"nm", 2)
        assert set(file) == {"a", "c", "huge"}
        assert file["huge"].id.get_storage_size() == 0


def reading(read: Any) -> Target:
    return Target("x", [{"a": b"some bytes of a file", "b": b"more"}], read)


def test_failures_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(error: BaseException) -> Any:
        def read(folder: Path) -> None:
            raise error

        return read

    def hides(folder: Path) -> None:
        try:
            raise MemoryError
        except MemoryError:
            raise FileFormatError("damaged") from None

    def judged(read: Any) -> tuple[bool, Any]:
        accepted, failure = judge(reading(read), tmp_path, 7)
        return accepted, failure and (failure.kind, failure.index)

    with contextlib.ExitStack() as stack:
        stack.callback(_alarm_raises_too_slow())
        assert judged(lambda folder: None) == (True, None)
        assert judged(fails(FileFormatError("damaged"))) == (False, None)
        assert judged(fails(KeyError("x"))) == (False, ("untyped", 7))
        assert judged(fails(SystemExit())) == (False, ("untyped", 7))
        assert judged(fails(MemoryError())) == (False, ("memory", 7))
        assert judged(hides) == (False, ("memory", 7))
        monkeypatch.setattr(fuzz_worker, "MAX_RESIDENT", -1)
        assert judged(lambda folder: None) == (True, ("resident", 7))
        monkeypatch.setattr(fuzz_worker, "MAX_SECONDS", 0.2)
        assert judged(lambda folder: time.sleep(1)) == (False, ("time", 7))


def _alarm_raises_too_slow() -> Any:
    import signal

    def alarm(number: int, frame: Any) -> None:
        raise fuzz_worker.TooSlow

    before = signal.signal(signal.SIGALRM, alarm)
    return lambda: signal.signal(signal.SIGALRM, before)


def test_input_depends_on_its_number_only() -> None:
    target = reading(lambda folder: None)
    first = [damaged(target, 1, index) for index in range(50)]
    assert first == [damaged(target, 1, index) for index in range(50)]
    assert first != [damaged(target, 2, index) for index in range(50)]
    assert len({str(one) for one in first}) > 40


@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_any_bytes_can_be_damaged(data: bytes, seed: int) -> None:
    chance = random.Random(seed)
    assert isinstance(mutate(data, chance, []), bytes)
    packed = Packed({"a": data, "b": b"x"}, lambda parts: parts["a"] + b"|" + parts["b"])
    assert isinstance(mutate(packed, chance, [data]), bytes)


VALUES = st.recursive(
    st.one_of(
        st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=12), st.dates(),
        st.sampled_from(["demo", "svm", "kanet", "../x", "/", "a\0b", "~root", "x" * 300, "cube.npy"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)  # fmt: skip
quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def tables(keys: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.one_of(st.sampled_from(keys), st.text(max_size=8)), VALUES, max_size=4)


def write(path: Path, table: dict[str, Any]) -> Path:
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


@quick
@given(tables(list(OPTIONS)))
def test_options_of_any_kind(tmp_path: Path, table: dict[str, Any]) -> None:
    with contextlib.suppress(InputError):
        config = load_config(write(tmp_path / "config.toml", {"model": "svm", "dataset": "demo", **table}))
        assert all(not isinstance(value, int) or abs(value) < 2**63 for value in config.as_dict().values())
        assert math.isfinite(config.lr)


@quick
@given(
    tables(
        [
            "name", "title", "wavelengths_nm", "drop_bands", "bands", "no_data", "unlabelled", "classes",
            "colors", "cube", "labels",
        ]
    )
)  # fmt: skip
def test_descriptions_of_any_kind(tmp_path: Path, table: dict[str, Any]) -> None:
    if not (tmp_path / "cube.npy").is_file():
        np.save(tmp_path / "cube.npy", np.arange(60).reshape(5, 4, 3))
        np.save(tmp_path / "labels.npy", np.arange(20).reshape(5, 4) % 3)
    path = write(tmp_path / "scene.toml", {"cube": "cube.npy", "labels": "labels.npy", **table})
    with contextlib.suppress(InputError):
        scene = load_scene(path, data_root=tmp_path)
        assert "/" not in scene.name
        assert scene.cube.shape[:2] == scene.labels.shape


@quick
@given(
    tables(["title", "seeds", "defaults", "grid"]),
    tables(["demo", "dataset", "model"]),
    tables(list(OPTIONS)),
)
def test_experiments_of_any_kind(
    tmp_path: Path, table: dict[str, Any], section: dict[str, Any], options: dict[str, Any]
) -> None:
    whole = {
        "scenes": {"demo": options},
        "protocols": {"random": options},
        "models": {"svm": section},
        **table,
    }
    with contextlib.suppress(InputError):
        plan = make_plan(read_experiment(write(tmp_path / "experiment.toml", whole)), tmp_path / "runs")
        assert all(run.folder.resolve().is_relative_to((tmp_path / "runs").resolve()) for run in plan)
