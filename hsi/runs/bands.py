"""Whether the bands of a scene are those that a run was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.resample import Resample
from hsi.datasets.scene import Scene
from hsi.errors import RunError, SceneError

if TYPE_CHECKING:
    from hsi.runs.folder import Run


def fit_bands(run: Run, scene: Scene, resample: bool = False) -> Resample | None:
    """Return what brings a scene to the bands of a run, or None where it has them already.

    Bands are the same if there are as many and, where both have wavelengths, no centre is off by more than
    half the distance to the run's next band (our decision).

    Parameters
    ----------
    run
        A finished run.
    scene
        Any scene.
    resample
        Resample where wavelengths differ at all, instead of refusing.

    Raises
    ------
    RunError
        When the bands differ and may not or cannot be resampled; the message says by how much.
    """
    bands = int(run.metrics["bands"])
    known = run.metrics.get("wavelengths_nm")
    wanted = None if known is None else np.asarray(known, np.float64)
    measured = scene.wavelengths_nm
    if resample:
        if wanted is None or measured is None:
            who = f"the run '{run.path}'" if wanted is None else f"'{scene.name}'"
            raise RunError(f"Resampling needs the wavelengths of both, but {who} has none.")
        if len(measured) == len(wanted) and np.array_equal(measured, wanted):
            return None
        # Widths only where both are known: with one alone, two like sensors would look unlike.
        widths = run.metrics.get("fwhm_nm")
        if widths is None or scene.fwhm_nm is None:
            both: dict[str, NDArray[np.float64]] = {}
        else:
            both = {"source_fwhm_nm": scene.fwhm_nm, "target_fwhm_nm": np.asarray(widths, np.float64)}
        try:
            return Resample(measured, wanted, **both)
        except SceneError as error:
            raise RunError(f"'{scene.name}' cannot be brought to the run '{run.path}': {error}") from None
    advice = "; --resample brings them to the run's" if wanted is not None and measured is not None else ""
    if scene.bands != bands:
        raise RunError(
            f"The run '{run.path}' was trained on {bands} bands{_span(wanted)}, but '{scene.name}' has "
            f"{scene.bands}{_span(measured)}{advice}."
        )
    if wanted is not None and measured is not None and bands > 1:
        off = np.abs(measured - wanted)
        if (off > _half_distance(wanted)).any():
            raise RunError(
                f"The run '{run.path}' and '{scene.name}' both have {bands} bands, but their wavelengths "
                f"differ by up to {off.max():.3g} nm{advice}."
            )
    return None


def _half_distance(wavelengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return half the distance of each band to the nearer of its neighbours in the list."""
    steps = np.abs(np.diff(wavelengths))
    nearer: NDArray[np.float64] = np.minimum(np.append(steps, np.inf), np.append(np.inf, steps)) / 2
    return nearer


def _span(wavelengths: NDArray[np.float64] | None) -> str:
    return "" if wavelengths is None else f" ({wavelengths.min():g} to {wavelengths.max():g} nm)"
