"""Single spectra with names, resampled to a scene's bands and matched to its classes.

They come from a spectral library (`hsi.datasets.libraries.spectral_library`).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.bands import Resample, band_spacing, name_bands
from hsi.datasets.catalogue.downloader import file_sha256
from hsi.datasets.parts import part_windows
from hsi.datasets.scene import Scene
from hsi.errors import SceneError

Floats = NDArray[np.float64]

LEAST_COVER = 0.5
"""Share of a scene's bands that a spectrum must cover."""

MOST_BACKGROUND = 50_000
"""Pixels, spread evenly, that stand for the whole scene."""


@dataclass(frozen=True)
class Spectrum:
    """One spectrum: ``(n,)`` wavelengths in nanometres, rising, and values, NaN for deleted points.

    `fwhm_nm` are full widths at half maximum, or None where not known.
    """

    name: str
    wavelengths_nm: Floats
    values: Floats
    fwhm_nm: Floats | None = None

    def resampled(self, wavelengths_nm: Floats, fwhm_nm: Floats | None = None) -> Floats:
        """Return the values at other bands ``(bands,)``, NaN for bands that this spectrum does not cover.

        See `hsi.datasets.bands.Resample`. Over deleted points the spectrum is interpolated only if the band
        is wider than the gap.
        """
        found = np.full(len(wavelengths_nm), np.nan)
        valid = np.flatnonzero(np.isfinite(self.values))
        if len(valid) < 2:
            return found
        known = self.wavelengths_nm[valid]
        width = band_spacing(wavelengths_nm) if fwhm_nm is None else fwhm_nm
        right = np.searchsorted(known, wavelengths_nm).clip(1, len(known) - 1)
        before, after = known[right - 1], known[right]
        gap = (valid[right] - valid[right - 1] > 1) & (after - before > width)
        own = band_spacing(known) if self.fwhm_nm is None else self.fwhm_nm[valid]
        covered = (wavelengths_nm >= known[0] - own[0]) & (wavelengths_nm <= known[-1] + own[-1])
        covered &= ~(gap & (wavelengths_nm > before) & (wavelengths_nm < after))
        if covered.any():
            resample = Resample(
                known, wavelengths_nm[covered], source_fwhm_nm=own, target_fwhm_nm=width[covered]
            )
            found[covered] = resample.weights @ self.values[valid]
        return found


@dataclass(frozen=True)
class SpectralLibrary:
    """Spectra, the files that they were read from, and one sentence for each thing that was assumed."""

    spectra: tuple[Spectrum, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the spectra; several may be the same."""
        return tuple(one.name for one in self.spectra)

    def resampled(self, wavelengths_nm: Floats, fwhm_nm: Floats | None = None) -> Floats:
        """Return ``(spectra, bands)`` values at the bands of a scene; see `Spectrum.resampled`."""
        return np.stack([one.resampled(wavelengths_nm, fwhm_nm) for one in self.spectra])

    def sources(self) -> dict[str, str]:
        """Return file name -> SHA-256.

        Of a folder's many files there is one, ``NAME (n files)``: that of the text that ``sha256sum`` prints
        for their names, in order.
        """
        hashes = [(file, file_sha256(file)) for file in sorted(self.files)]
        if len(hashes) <= _SINGLE_FILES:
            return {file.name: digest for file, digest in hashes}
        text = "".join(f"{digest}  {file.name}\n" for file, digest in hashes)
        folder = Path(os.path.commonpath([file.absolute() for file in self.files]))
        return {f"{folder.name} ({len(hashes)} files)": hashlib.sha256(text.encode()).hexdigest()}


_SINGLE_FILES = 4  # that are named each


@dataclass(frozen=True)
class ClassSpectra:
    """Spectra of a scene's classes at its bands.

    `values` are ``(n, bands)``, NaN in bands that not all of them cover; `classes` ``(n,)`` are their classes
    0..C-1; `notes` say what was left out.
    """

    values: Floats
    classes: NDArray[np.int64]
    notes: tuple[str, ...]


def class_spectra(
    library: SpectralLibrary, scene: Scene, keep: NDArray[np.int64] | None = None, where: str = "the library"
) -> ClassSpectra:
    """Return the spectra of a scene's classes, resampled to its bands, or to those in `keep`.

    A class has the spectra of its name; letter case, spaces, ``-`` and ``_`` do not count. If there are none,
    it has those whose name begins with its name, which is noted: "Alunite GDS84 Na03" for a class "alunite".

    Raises
    ------
    SceneError
        When the scene has no wavelengths, fewer than two classes have a spectrum, or the spectra cover less
        than half of the bands.
    """
    if scene.wavelengths_nm is None:
        raise SceneError(
            f"A spectral library needs the wavelengths of the scene, and {scene.name} has none: list them in "
            "a scene.toml (wavelengths_nm), or give hsi scene new a file with --wavelengths."
        )
    numbers = np.arange(scene.bands) if keep is None else np.asarray(keep)
    centres = np.asarray(scene.wavelengths_nm, np.float64)[numbers]
    widths = None if scene.fwhm_nm is None else np.asarray(scene.fwhm_nm, np.float64)[numbers]
    found, notes = _match(library.names, scene.class_names, where)
    pairs = [(library.spectra[number], label) for label, ones in found.items() for number in ones]
    values = np.stack([spectrum.resampled(centres, widths) for spectrum, _ in pairs])
    enough = np.isfinite(values).mean(axis=1) >= LEAST_COVER
    labels = np.array([label for _, label in pairs], np.int64)
    common = np.isfinite(values[enough]).all(axis=0)
    if len(np.unique(labels[enough])) < 2 or common.mean() < LEAST_COVER:
        low = min(spectrum.wavelengths_nm[0] for spectrum, _ in pairs)
        high = max(spectrum.wavelengths_nm[-1] for spectrum, _ in pairs)
        raise SceneError(
            f"The spectra of {where} run from {low:g} to {high:g} nm and cover too few of the bands of "
            f"{scene.name}, {centres.min():g} to {centres.max():g} nm: choose those that they cover with "
            "--bands, or another library."
        )
    if not enough.all():
        names = _listed([spectrum.name for (spectrum, _), use in zip(pairs, enough, strict=True) if not use])
        notes.append(
            f"Of {where} these spectra cover less than half of the scene's bands and are left out: {names}."
        )
        lost = sorted(set(labels.tolist()) - set(labels[enough].tolist()))
        if lost:
            notes.append(_never([scene.class_names[label] for label in lost], where))
    if not common.all():
        notes.append(
            f"{int((~common).sum())} of {len(common)} bands are not covered by all spectra of {where} and "
            f"are left out: {name_bands(numbers[~common])}."
        )
    kept = values[enough]
    kept[:, ~common] = np.nan
    return ClassSpectra(kept, labels[enough], tuple(notes))


def _match(
    names: Sequence[str], class_names: Sequence[str], where: str
) -> tuple[dict[int, list[int]], list[str]]:
    """Return the numbers of the spectra of each class (0..C-1) that has any, and notes."""
    exact: dict[int, list[int]] = defaultdict(list)
    begins: dict[int, list[int]] = defaultdict(list)
    wanted = [_words(name) for name in class_names]
    joined = {"".join(words): label for label, words in enumerate(wanted)}
    for number, name in enumerate(names):
        words = _words(name)
        label = joined.get("".join(words))
        if label is not None:
            exact[label].append(number)
            continue
        fitting = [one for one, start in enumerate(wanted) if start and words[: len(start)] == start]
        if fitting:
            begins[max(fitting, key=lambda one: len(wanted[one]))].append(number)
    by_start = sorted(begins.keys() - exact.keys())
    found = {label: exact.get(label) or begins[label] for label in sorted(exact.keys() | begins.keys())}
    if len(found) < 2:
        raise SceneError(
            f"{'Only one class' if found else 'No class'} of the scene has a spectrum of its name in {where} "
            f"and two are needed: the classes are {_listed(class_names)}; the spectra are {_listed(names)}; "
            "rename one side."
        )
    notes = [
        f"Class {class_names[label]} takes {len(found[label])} spectra whose names begin with it: "
        f"{_listed([names[number] for number in found[label]])}."
        for label in by_start
    ]
    without = [name for label, name in enumerate(class_names) if label not in found]
    if without:
        notes.append(_never(without, where))
    used = {number for ones in found.values() for number in ones}
    ignored = [name for number, name in enumerate(names) if number not in used]
    if ignored:
        notes.append(f"{len(ignored)} spectra of {where} are of no class of the scene: {_listed(ignored)}.")
    return found, notes


def _never(names: Sequence[str], where: str) -> str:
    return f"These classes have no spectrum in {where} and are never predicted: {_listed(names)}."


_LISTED = 8  # names in a sentence


def _listed(names: Sequence[str]) -> str:
    shown = [name[:60] for name in dict.fromkeys(names)]
    return ", ".join(shown[:_LISTED]) + (", ..." if len(shown) > _LISTED else "")


def _words(name: str) -> list[str]:
    return re.split(r"[\s_-]+", name.strip().strip("_-").casefold())


def background_pixels(scene: Scene, keep: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
    """Return about `MOST_BACKGROUND` spectra ``(n, bands)`` spread evenly over a scene.

    Left out are pixels without data, and those of images that are there to test on.
    """
    use = np.ones((scene.rows, scene.cols), bool) if scene.missing is None else ~scene.missing
    for part, (rows, cols) in zip(scene.parts, part_windows(scene.parts), strict=True):
        if part.test:
            use[rows, cols] = False
    pixels = np.flatnonzero(use)
    pixels = pixels[:: max(1, -(-len(pixels) // MOST_BACKGROUND))]
    found = []
    strip = max(1, _STRIP_VALUES // (scene.cols * scene.bands))
    for row in range(0, scene.rows, strip):
        first, last = np.searchsorted(pixels, [row * scene.cols, (row + strip) * scene.cols])
        if first < last:
            window = np.asarray(scene.cube[row : row + strip]).reshape(-1, scene.bands)
            chosen = window[pixels[first:last] - row * scene.cols]
            found.append((chosen if keep is None else chosen[:, keep]).astype(np.float32))
    return np.concatenate(found)


_STRIP_VALUES = 1 << 24


def in_units_of(values: Floats, pixels: NDArray[np.float32], where: str) -> tuple[Floats, str]:
    """Return class spectra in the units of a scene's pixels, by their sizes, and a note ("" if they agree).

    Reflectance is given as a fraction, in percent or times 10,000; which of them is told by the medians.
    """
    ours, theirs = float(np.nanmedian(values)), float(np.nanmedian(pixels))
    scales = (1.0, 100.0, 10_000.0)  # the median of a land scene is 0.05 to 0.5 as a fraction
    ours_scale, scale = (scales[int(np.searchsorted((2.0, 100.0), one))] for one in (ours, theirs))
    if ours_scale == scale:
        return values, ""
    words = {1.0: "fractions", 100.0: "percent", 10_000.0: "reflectance x 10,000"}
    note = (
        f"The scene's values look like {words[scale]} (median {theirs:.4g}) and those of {where} like "
        f"{words[ours_scale]} (median {ours:.4g}); the spectra are multiplied by {scale / ours_scale:g}. "
        "Radiances cannot be compared with a library of reflectances."
    )
    return values * (scale / ours_scale), note
