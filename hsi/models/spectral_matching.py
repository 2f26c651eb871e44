"""Spectral matching: the spectral angle mapper and the matched filter, which compare with known spectra.

Each class has one or more spectra: those of a spectral library, which needs no training pixel, or the mean of
its training pixels. Both see the spectrum of a patch's centre as it was measured, not standardised.

* sam: the class whose spectrum makes the smallest angle with the pixel's, as vectors of all bands (Kruse et
  al., Remote Sensing of Environment 44, 1993). Brightness does not matter.
* matched-filter: the class with the largest score (x - m)' S^-1 (d - m) / ((d - m)' S^-1 (d - m)), with the
  mean m and the covariance S of the whole scene, and d the mean of the class's spectra: 1 for the spectrum of
  the class, 0 for the mean of the scene (Boardman, Kruse and Green, JPL Airborne Earth Science Workshop,
  1995). S is shrunk as by Ledoit and Wolf (Journal of Multivariate Analysis 88, 2004).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.errors import ModelError
from hsi.models.registry import check_sizes, register_model

Floats = NDArray[np.float64]


class SpectralMatching(nn.Module):
    """Measured ``(N, bands, P, P)`` to scores ``(N, classes)``, -inf for a class without a spectrum.

    The state dict holds the spectra and the filters, so that a loaded model needs no library.

    Parameters
    ----------
    kind
        "sam" (scores are minus the angle in radians) or "matched-filter".
    """

    spectra: Tensor  # (n, bands) float32; NaN in bands that are not used
    spectrum_classes: Tensor  # (n,) int64, 0..C-1
    mean: Tensor  # (bands,) float32, of the background
    filters: Tensor  # (classes, bands) float32; empty for sam

    def __init__(self, kind: str, bands: int, classes: int, patch: int) -> None:
        super().__init__()
        check_sizes(bands, classes, patch)
        self.kind, self.bands, self.classes = kind, bands, classes
        self.register_buffer("spectra", torch.zeros(0, bands))
        self.register_buffer("spectrum_classes", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("filters", torch.zeros(classes if self.needs_background else 0, bands))
        self._covariance: Floats | None = None
        self._from_library = False

    @property
    def needs_background(self) -> bool:
        """Whether `set_background` has to be called before `fit`."""
        return self.kind == "matched-filter"

    @property
    def chosen(self) -> dict[str, float]:
        """Nothing is chosen."""
        return {}

    def set_spectra(self, spectra: Floats, classes: NDArray[np.int64]) -> None:
        """Take spectra ``(n, bands)`` of classes 0..C-1, NaN in bands without use; `fit` will keep them."""
        self.spectra = torch.from_numpy(np.asarray(spectra, np.float32))
        self.spectrum_classes = torch.from_numpy(np.asarray(classes, np.int64))
        self._from_library = True

    def set_background(self, pixels: NDArray[Any]) -> None:
        """Learn mean and covariance of the scene from some of its pixels ``(n, bands)``."""
        from sklearn.covariance import ledoit_wolf

        values = np.asarray(pixels, np.float64)
        mean = values.mean(axis=0)
        covariance = np.zeros((self.bands, self.bands))
        varied = np.ptp(values, axis=0) > 0
        if varied.any() and len(values) > 1:
            # In units of the spread, so that shrinkage treats bands of a low and a high variance alike.
            spread = values[:, varied].std(axis=0)
            shrunk = ledoit_wolf((values[:, varied] - mean[varied]) / spread, assume_centered=True)[0]
            covariance[np.ix_(varied, varied)] = shrunk * np.outer(spread, spread)
        self.mean, self._covariance = torch.from_numpy(mean).float(), covariance

    def extract(self, patches: Tensor) -> Tensor:
        """Return the spectrum ``(N, bands)`` of the centre of each patch."""
        middle = patches.shape[-1] // 2
        return patches[:, :, middle, middle].contiguous()

    def fit(
        self, features: Tensor, targets: Tensor, groups: NDArray[np.int64], *, seed: int, balanced: bool
    ) -> list[str]:
        """Take the mean spectrum of each class, unless `set_spectra` was called; return notes.

        `groups`, `seed` and `balanced` do not matter.

        Raises
        ------
        ModelError
            When the matched filter has no background, or no band that varies in it.
        """
        if not self._from_library:
            values, found = features.double().cpu().numpy(), targets.cpu().numpy()
            classes = np.unique(found)
            means = np.stack([values[found == label].mean(axis=0) for label in classes])
            self.spectra = torch.from_numpy(means.astype(np.float32))
            self.spectrum_classes = torch.from_numpy(classes)
        if self.needs_background:
            self._make_filters()
        return []

    def forward(self, patches: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to scores ``(N, classes)``; the largest is at the predicted class.

        Raises
        ------
        ModelError
            Before `fit`.
        """
        if not len(self.spectrum_classes):
            raise ModelError(f"This {self.kind} has no spectra; call fit first.")
        device = patches.device
        pixels = self.extract(patches.cpu() if device.type == "mps" else patches).double()  # no float64 there
        where = pixels.device
        if self.needs_background:
            found = (pixels - self.mean.to(where).double()) @ self.filters.to(where).double().T
            scores = torch.full_like(found, -torch.inf)
            known = self.spectrum_classes.to(where).unique()
            scores[:, known] = found[:, known]
        else:
            scores = self._angles(pixels)
        return scores.to(device, torch.float32)

    def _angles(self, pixels: Tensor) -> Tensor:
        """Return minus the smallest angle to a spectrum of each class; a right angle for a spectrum of 0."""
        spectra, classes = self.spectra.to(pixels.device).double(), self.spectrum_classes.to(pixels.device)
        used = ~spectra.isnan().any(dim=0)
        pixels, spectra = pixels[:, used], spectra[:, used]
        tiny = torch.finfo(torch.float64).tiny
        pixels = pixels / pixels.norm(dim=1, keepdim=True).clamp_min(tiny)
        spectra = spectra / spectra.norm(dim=1, keepdim=True).clamp_min(tiny)
        angles = torch.arccos((pixels @ spectra.T).clamp(-1, 1))
        scores = angles.new_full((len(pixels), self.classes), -torch.inf)
        return scores.scatter_reduce(1, classes.expand(len(pixels), -1), -angles, "amax")

    def _make_filters(self) -> None:
        if self._covariance is None:
            raise ModelError(f"This {self.kind} has no background; call set_background first.")
        spectra, classes = self.spectra.double().cpu().numpy(), self.spectrum_classes.cpu().numpy()
        used = ~np.isnan(spectra).any(axis=0) & (np.diagonal(self._covariance) > 0)
        if not used.any():
            raise ModelError("The matched filter needs a band that varies over the scene; check the scene.")
        spread = np.sqrt(np.diagonal(self._covariance)[used])
        correlation = self._covariance[np.ix_(used, used)] / np.outer(spread, spread)
        filters = np.zeros((self.classes, self.bands))
        for label in np.unique(classes):
            target = spectra[classes == label][:, used].mean(axis=0)
            offset = (target - self.mean.double().cpu().numpy()[used]) / spread
            whitened = np.linalg.solve(correlation, offset)
            length = float(offset @ whitened)
            if length > 0:  # else the class looks like the scene's mean, and scores 0 everywhere
                filters[label, used] = whitened / length / spread
        self.filters = torch.from_numpy(filters).float()

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Accept any number of spectra, each of a class of this model."""
        spectra, classes = (state_dict.get(prefix + name) for name in ("spectra", "spectrum_classes"))
        if spectra is not None and classes is not None:
            fits = classes.ndim == 1 and spectra.shape == (len(classes), self.bands)
            if not fits or (
                len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < self.classes
            ):
                error_msgs.append(f"{prefix}spectra: these are not spectra of {self.classes} classes")
                return
            self.spectra = torch.empty_like(spectra, dtype=torch.float32, device=self.spectra.device)
            self.spectrum_classes = torch.empty_like(classes, dtype=torch.int64, device=self.spectra.device)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


def _register(name: str, title: str, paper: str, *aliases: str) -> None:
    @register_model(
        name,
        title=title,
        paper=paper,
        provenance="re-implemented from the description",
        aliases=aliases,
        baseline=True,
    )
    def build(bands: int, classes: int, patch: int) -> SpectralMatching:
        return SpectralMatching(name, bands, classes, patch)


_register("sam", "spectral angle mapper", "Kruse et al., RSE 1993", "spectral-angle", "spectral_angle")
_register("matched-filter", "matched filter", "Boardman, Kruse and Green, JPL 1995", "matched_filter", "mf")
