"""The files to damage and their readers: every file format and every configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from torture import fuzz_images, fuzz_products, fuzz_run, fuzz_seeds, fuzz_shapes, fuzz_spectra, fuzz_texts
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
    found = [*_arrays(), *_products(), *_rasters(), *_labels(), *_spectra(), *_texts()]
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


def _look(path: Path, *, raw: bool = False) -> None:
    """Open a cube as for a map, and read a window of it."""
    from hsi.datasets.load import load_unlabelled

    scene = load_unlabelled(path, raw=raw)
    np.asarray(scene.cube[2:5, 1:4])


def _products() -> Iterator[Target]:
    _, labels, _ = fuzz_seeds.crop()
    beside = {"labels.npy": fuzz_seeds.npy_bytes(labels)}

    def read(folder: Path) -> None:
        from hsi.datasets import load_scene
        from hsi.datasets.formats import readers

        # The clock of files is too coarse to tell one input from the next.
        readers._open_product.cache_clear()
        ends = (".xml", ".he5", ".nc", ".h5", ".hdr")
        named = [one for one in sorted(folder.iterdir()) if one.suffix.lower() in ends]
        path = next(one for one in named if not re.search("SPECTRAL_IMAGE.hdr|_glt|_MASK_", one.name))
        if path.suffix.lower() == ".hdr":
            path = path.with_suffix("")
        in_turn(
            lambda: _look(path),
            lambda: _look(path, raw=True),
            lambda: _look(folder),
            lambda: readers.read_facts(path),
            lambda: load_scene(path, labels=folder / "labels.npy"),
        )

    for name, make in fuzz_products.PRODUCTS.items():
        yield Target(name, make(), read, beside, 0.25 if name in ("enmap", "desis") else 0.4)


def _rasters() -> Iterator[Target]:
    cube, labels, _ = fuzz_seeds.crop()
    beside = {"cube.npy": fuzz_seeds.npy_bytes(cube), "labels.npy": fuzz_seeds.npy_bytes(labels)}

    def opened(file: str) -> Read:
        def read(folder: Path) -> None:
            from hsi.datasets import load_scene
            from hsi.datasets.formats.readers import list_arrays, read_facts

            path = folder / file
            in_turn(
                lambda: list_arrays(path),
                lambda: read_facts(path),
                lambda: _look(path),
                lambda: load_scene(path, labels=folder / "labels.npy"),
                lambda: load_scene(folder / "cube.npy", labels=path),
            )

        return read

    names = {
        "vrt": "vrt", "jp2": "jpeg2000", "img": "imagine", "lan": "lan", "bil": "ehdr", "asc": "asciigrid",
        "ntf": "nitf", "map": "pcraster",
    }  # fmt: skip
    for end, seeds in fuzz_images.raster_files(cube, labels).items():
        yield Target(names[end], seeds, opened(f"a.{end}"), beside, 0.2)
    yield Target("netcdf3", fuzz_images.netcdf3_files(cube, labels), opened("a.nc"), beside)
    yield Target("zarr", fuzz_images.zarr_files(cube), opened("a.zarr"), beside, 0.2)
    yield Target("odd mat", fuzz_images.odd_mat_files(cube, labels), _read_arrays("a.mat"), beside)
    yield Target("odd envi", fuzz_spectra.odd_header_files(cube, labels), opened("a.hdr"), beside)
    yield Target("hdf5 with bands", fuzz_products.wavelengths_in_hdf5(), opened("a.h5"), beside, 0.4)


def _labels() -> Iterator[Target]:
    cube, labels, _ = fuzz_seeds.crop()
    image = fuzz_seeds.geotiff_files(cube, labels)[0]["a.tif"]
    assert isinstance(image, bytes)

    def placed(file: str, keys: tuple[str | None, str | None]) -> Read:
        def read(folder: Path) -> None:
            from hsi.datasets import load_scene
            from hsi.datasets.formats.readers import ArraySource
            from hsi.datasets.labels.read_labels import LabelOptions, read_labels

            path, size, place = folder / file, labels.shape, fuzz_seeds.GEOREFERENCE
            other = LabelOptions(all_touched=True, class_zero=True, align=True)
            in_turn(
                lambda: load_scene(folder / "cube.tif", labels=path),
                lambda: read_labels(ArraySource(path, keys[0]), size, place, LabelOptions()),
                lambda: read_labels(ArraySource(path, keys[1]), size, place, other),
            )

        return read

    seeds = {
        "a.geojson": fuzz_shapes.geojson_files(),
        **fuzz_shapes.vector_files(),
        "a.csv": fuzz_shapes.point_files(),
        **fuzz_shapes.region_files(),
        **{f"a.{end}": one for end, one in fuzz_images.label_image_files(labels).items()},
    }
    names = {
        "shp": "shapefile", "gpkg": "geopackage", "fgb": "flatgeobuf", "json": "esrijson", "csv": "points",
        "txt": "roi text", "xml": "roi xml",
    }  # fmt: skip
    for file, found in seeds.items():
        name = names.get(file[2:], file[2:])
        keys = (
            (None, None)
            if name in ("points", "roi text", "roi xml", "png", "bmp", "gif")
            else ("class", "code")
        )
        yield Target(name, found, placed(file, keys), {"cube.tif": image}, 0.4)


def _spectra() -> Iterator[Target]:
    def library(folder: Path) -> None:
        from hsi.datasets.libraries.spectral_library import read_spectral_library

        grid = np.linspace(450.0, 2300.0, 12)
        path = next(one for one in sorted(folder.iterdir()) if one.name.startswith("a"))
        in_turn(
            lambda: read_spectral_library(path).resampled(grid),
            lambda: read_spectral_library(folder).resampled(grid, np.full(12, 15.0)),
        )

    def wavelengths(folder: Path) -> None:
        from hsi.datasets.formats.band_tables import read_wavelengths

        found = read_wavelengths(folder / "a.txt")
        assert np.isfinite(found.wavelengths_nm).all()
        assert all(0 <= band < len(found.wavelengths_nm) for band in found.bad_bands)

    yield Target("library", fuzz_spectra.library_files(), library)
    yield Target("wavelengths", fuzz_spectra.wavelength_files(), wavelengths)


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
