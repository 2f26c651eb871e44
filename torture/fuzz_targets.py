"""The files to damage and their readers: every file format and every configuration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from torture import fuzz_run, fuzz_seeds, fuzz_shapes, fuzz_texts
from torture.fuzz_seeds import Files

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Target:
    """One reader under test.

    Attributes
    ----------
    name
        As ``--only`` names it.
    seeds
        Sets of valid files; one file of a set (sometimes several) is damaged for each input.
    read
        Reads a folder with such a set; may raise the types of `hsi.errors` only.
    beside
        Further files, which stay undamaged.
    weight
        Share of the inputs, relative to other targets.
    """

    name: str
    seeds: list[Files]
    read: Read
    beside: dict[str, bytes] = field(default_factory=dict)
    weight: float = 1.0


def in_turn(*reads: Callable[[], object]) -> None:
    """Call all readers; raise the last error only if every reader raised."""
    from hsi.errors import HsiError

    refused: list[HsiError] = []
    for read in reads:
        try:
            read()
        except HsiError as error:
            refused.append(error)
    if len(refused) == len(reads):
        raise refused[-1]


def make_targets(work: Path, names: Collection[str] | None = None) -> list[Target]:
    """Return the targets of these names, or all; for the files of runs, a small run is trained in `work`."""
    found = [*_arrays(), *_shapes(), *_texts()]
    if names is None or not {target.name for target in found}.issuperset(names):
        found += _runs(work)
    return [target for target in found if names is None or target.name in names]


# Slow readers get fewer inputs.
_SHARES = {"mat73": 0.4, "hdf5": 0.4, "envi": 0.5, "geotiff": 0.25, "npz": 0.8}


def _arrays() -> Iterator[Target]:
    cube, labels, _ = fuzz_seeds.crop()
    beside = {"cube.npy": fuzz_seeds.npy_bytes(cube), "labels.npy": fuzz_seeds.npy_bytes(labels)}
    both = {"cube": cube, "gt": labels}
    for name, file, seeds in (
        ("mat5", "a.mat", fuzz_seeds.mat5_files(cube, labels)),
        ("mat73", "a.mat", fuzz_seeds.hdf5_files(cube, labels, matlab=True)),
        ("hdf5", "a.h5", fuzz_seeds.hdf5_files(cube, labels, matlab=False)),
        ("npy", "a.npy", fuzz_seeds.npy_files(cube, labels)),
        ("npz", "a.npz", fuzz_seeds.npz_files("a.npz", both)),
        ("envi", "a.hdr", fuzz_seeds.envi_files(cube, labels)),
        ("geotiff", "a.tif", fuzz_seeds.geotiff_files(cube, labels)),
    ):
        yield Target(name, seeds, _read_arrays(file), beside, _SHARES.get(name, 1.0))
    masks = {"TR": np.where(np.arange(labels.size).reshape(labels.shape) % 2, labels, 0), "TE": labels * 0}
    masks["TE"] = np.where(masks["TR"] > 0, 0, labels)
    yield Target("mask", fuzz_seeds.npz_files("m.npz", masks), _read_masks, beside, 0.5)


def _read_arrays(file: str) -> Read:
    def read(folder: Path) -> None:
        from hsi.datasets import load_scene
        from hsi.datasets.formats.readers import list_arrays, read_array, read_facts
        from hsi.datasets.load import load_unlabelled

        path = folder / file
        in_turn(
            lambda: list_arrays(path),
            lambda: read_facts(path),
            lambda: read_array(path, ndim=3),
            lambda: read_array(path, ndim=2, known_keys=["gt"]),
            lambda: read_array(path, ndim=3, key="cube"),
            lambda: load_unlabelled(path),
            lambda: load_scene(path, labels=folder / "labels.npy"),
            lambda: load_scene(folder / "cube.npy", labels=path),
        )

    return read


def _read_masks(folder: Path) -> None:
    from hsi.datasets import load_scene, make_split

    scene = load_scene(folder / "cube.npy", labels=folder / "labels.npy")
    make_split(scene, scheme="mask", masks=str(folder / "m.npz"), patch=3)


def _shapes() -> Iterator[Target]:
    def drawn(file: str) -> Read:
        def read(folder: Path) -> None:
            from hsi.datasets.labels.rasterize import draw_labels

            size = (fuzz_seeds.ROWS, fuzz_seeds.COLS)
            in_turn(
                lambda: draw_labels(folder / file, size, fuzz_seeds.GEOREFERENCE),
                lambda: draw_labels(folder / file, size, fuzz_seeds.GEOREFERENCE, "code"),
            )

        return read

    yield Target("geojson", fuzz_shapes.geojson_files(), drawn("a.geojson"))
    yield Target("shapefile", fuzz_shapes.shapefile_files(), drawn("a.shp"))


def _texts() -> Iterator[Target]:
    cube, labels, _ = fuzz_seeds.crop()
    beside = {"cube.npy": fuzz_seeds.npy_bytes(cube), "labels.npy": fuzz_seeds.npy_bytes(labels)}

    def scene(folder: Path) -> None:
        from hsi.datasets import load_scene

        load_scene(folder / "scene.toml", data_root=folder)

    def experiment(folder: Path) -> None:
        from hsi.sweep.experiment import read_experiment
        from hsi.sweep.plan import make_plan

        make_plan(read_experiment(folder / "experiment.toml"), folder / "runs")

    def options(folder: Path) -> None:
        from hsi.commands.options import parse_settings
        from hsi.datasets.bands import parse_bands
        from hsi.models import build_model

        text = (folder / "options.txt").read_text("utf-8", errors="replace")
        one, _, bands = text.partition("\n")
        wavelengths = np.linspace(400.0, 2500.0, 50)
        in_turn(
            lambda: parse_bands(bands, 50, wavelengths, "AVIRIS"),
            lambda: build_model("densenet3d", bands=9, classes=2, patch=7, **(parse_settings([one]) or {})),
        )

    yield Target("scene.toml", [{"scene.toml": fuzz_texts.SCENE_TOML}], scene, beside)
    yield Target("experiment.toml", [{"experiment.toml": fuzz_texts.EXPERIMENT_TOML}], experiment, beside)
    lines = (
        b"layers=[1, 1, 1]\n0-9,12,400-1300nm,no-water",
        b"growth=[4,4,4]\n1.5-1.75um",
        b"stem=3\nno-water",
    )
    yield Target("option", [{"options.txt": line} for line in lines], options, weight=0.5)


def _runs(work: Path) -> Iterator[Target]:
    from hsi.inference.run import Run

    cube, labels, _ = fuzz_seeds.crop()
    path = fuzz_run.train_small(work, cube, labels)
    intact = Run(path)
    small = fuzz_run.run_files(path)
    network, optimiser, generators = _trainer_parts(intact)

    def config(folder: Path) -> None:
        from hsi.config import load_config

        load_config(folder / "config.toml").to_toml()

    def metrics(folder: Path) -> None:
        from rich.console import Console

        from hsi.commands import screen as results
        from hsi.commands.screen import group_table

        run = Run(folder)
        console = Console(file=open("/dev/null", "w"), width=140)  # noqa: SIM115
        with console.file:
            console.print(results.score_table(run.metrics))
            console.print(results.class_table(run.metrics, run.metrics["class_names"]))
            console.print(group_table({"one": run.metrics, "two": run.metrics}))
        assert run.scores["test"].oa <= 1

    def history(folder: Path) -> None:
        from hsi.figures.curves import draw_curves

        draw_curves(Run(folder).history, kept=0)

    def split(folder: Path) -> None:
        from hsi.datasets.splits.indices import Split

        found = Split.load(folder / "split.npz")
        assert found.counts

    def predictions(folder: Path) -> None:
        from hsi.runs.run_files import load_predictions

        load_predictions(folder, intact.split.counts)

    def preprocess(folder: Path) -> None:
        from hsi.datasets.preprocess import Preprocess

        Preprocess.load(folder / "preprocess.npz").transform(cube)

    def best(folder: Path) -> None:
        from hsi.runs.checkpoint import load_weights

        load_weights(folder / "best.safetensors", network)

    def last(folder: Path) -> None:
        from hsi.runs.checkpoint import load_state

        load_state(folder / "last.safetensors", network, optimiser, generators)

    whole = {"config.toml": small["config.toml"]}
    yield Target("config.toml", [whole], config)
    for name, read in (("metrics.json", metrics), ("history.csv", history)):
        yield Target(name, [{name: small[name]}], read, {"config.toml": bytes(small["config.toml"])})  # type: ignore[arg-type]
    for name, read in (
        ("split.npz", split),
        ("predictions.npz", predictions),
        ("preprocess.npz", preprocess),
    ):
        yield Target(name, fuzz_run.array_files(path, name), read)
    for name, read in (("best.safetensors", best), ("last.safetensors", last)):
        yield Target(name, fuzz_run.checkpoint_files(path, name), read)


def _trainer_parts(run: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return a network of the run's sizes, its optimiser and the generators that a checkpoint holds."""
    import torch
    from safetensors import safe_open

    network = run.load_model("cpu")
    with safe_open(run.path / "checkpoint" / "last.safetensors", framework="pt") as file:
        names = [name.removeprefix("random.") for name in file.keys() if name.startswith("random.")]  # noqa: SIM118
    generators = {name: torch.Generator() for name in names if name not in ("torch", "cuda")}
    return network, torch.optim.Adam(network.parameters()), generators
