"""Classical classifiers as models: SVM, random forest, logistic regression and k nearest neighbours.

They stand beside the networks so that both are trained on the same split and scored alike. What they see of a
patch is the option ``features``: "spectrum" is the centre's spectrum; "spatial" is that and, behind it, the
mean spectrum over the patch. The settings are chosen by cross-validation on training pixels alone, over
separate pieces of ground (see `hsi.models.classical_tuning`): neighbouring pixels of one field are so alike
that folds drawn at random would favour settings that only memorise. The grids:

* svm (RBF; Cortes and Vapnik, 1995; Melgani and Bruzzone, 2004): C 1, 4, ..., 1024; gamma 1/256, 1/64, ..., 4
  times the power of two next to 1 / (features x variance);
* logistic (Cox, 1958): C 2^-8, 2^-6, ..., 2^6;
* knn (Cover and Hart, 1967): k 1, 3, 5, 7, 9, 15, 25;
* forest (Breiman, 2001): nothing to tune; 500 trees.

Features, folds and grids are our decisions.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi.errors import ModelError, unknown
from hsi.models.classical_tuning import RECIPES, Chosen, Floats, choose, class_scores
from hsi.models.registry import register_model

FEATURES = ("spectrum", "spatial")
PROBES = 256  # training pixels whose scores are kept, to check a classifier that was fitted anew


class Classical(nn.Module):
    """One of the four, fitted at once by `fit`; maps ``(N, bands, P, P)`` to scores ``(N, classes)``.

    The largest score is at the class that the estimator predicts; what the others mean, says `class_scores`.
    The state dict holds the training features, the chosen settings and the seed: a loaded model is fitted
    anew when it is first used, which takes as long as the last fit of the training did (seconds; for an SVM
    on tens of thousands of pixels, minutes). No code is stored, and another version of scikit-learn serves as
    well if it comes to the same scores, which is checked.

    Parameters
    ----------
    kind
        A name in `RECIPES`.
    bands, classes, patch
        Number of bands (>= 1) and of classes (>= 2), odd patch width in pixels (>= 1).
    features
        "spectrum" or "spatial".

    Raises
    ------
    ModelError
        For sizes or features that cannot be.
    """

    train_features: Tensor  # (n, features) float32
    train_targets: Tensor  # (n,) int64, 0..C-1
    probe_scores: Tensor  # (at most PROBES, classes) float32, of training pixels spread evenly
    about: Tensor  # JSON as uint8: chosen settings, seed, balanced, version of scikit-learn

    def __init__(
        self, kind: str, bands: int, classes: int, patch: int, *, features: str = "spectrum"
    ) -> None:
        super().__init__()
        if features not in FEATURES:
            raise ModelError(unknown("features", str(features), FEATURES))
        if patch % 2 == 0 or patch < 1:
            raise ModelError(
                f"The patch width must be odd and positive, so that a pixel is its centre; got {patch}."
            )
        if bands < 1:
            raise ModelError(f"A classifier needs at least 1 band; got {bands}.")
        if classes < 2:
            raise ModelError(f"A classifier needs at least 2 classes; got {classes}.")
        self.kind, self.bands, self.classes = kind, bands, classes
        self.spatial = features == "spatial"
        self.estimator: Any = None
        for name, empty in self._empty().items():
            self.register_buffer(name, empty)

    def extract(self, patches: Tensor) -> Tensor:
        """Return features of patches ``(N, bands, P, P)``: ``(N, bands)``, or ``(N, 2 bands)`` if spatial.

        The mean is over the pixels that are there: a pixel of zeros lies outside the scene or the area of the
        centre and is left out. The centre itself always counts, so a measured pixel of exact zeros matters
        only elsewhere.
        """
        if patches.device.type == "mps":
            patches = patches.cpu()  # it has no float64
        middle = patches.shape[-1] // 2
        spectrum = patches[:, :, middle, middle]
        if not self.spatial:
            return spectrum.contiguous()
        there = (patches != 0).any(dim=1)  # (N, P, P)
        there[:, middle, middle] = True
        count = there.sum(dim=(1, 2))[:, None]
        mean = patches.sum(dim=(2, 3), dtype=torch.float64) / count  # the same in any batch, on any device
        return torch.cat([spectrum, mean.to(spectrum.dtype)], dim=1)

    def fit(
        self, features: Tensor, targets: Tensor, groups: NDArray[np.int64], *, seed: int, balanced: bool
    ) -> list[str]:
        """Choose the settings and learn.

        Parameters
        ----------
        features
            ``(n, features)`` float32, as `extract` returns them.
        targets
            ``(n,)`` class 0..C-1; two classes at least.
        groups
            ``(n,)`` piece of ground of each pixel, for the cross-validation.
        seed
            Of the forest, and of the draw of pixels that settings are chosen on.
        balanced
            Weigh rare classes up; k-NN has no such weights.

        Returns
        -------
        list of str
            One sentence for each thing the user should know.
        """
        self.train_features, self.train_targets = features.detach().cpu(), targets.cpu()
        values, classes = self._training_pairs()
        chosen, notes = choose(RECIPES[self.kind], values, classes, groups, seed=seed, balanced=balanced)
        self._describe(chosen=chosen, seed=seed, balanced=balanced, version=_sklearn_version())
        notes += self._fit_estimator()
        self.probe_scores = torch.from_numpy(self._probe()).float()
        return notes

    @property
    def chosen(self) -> Chosen:
        """The settings that `fit` chose, such as ``{"C": 16.0, "gamma": 0.03125}``; empty before."""
        return dict(self._facts().get("chosen", {}))

    def forward(self, patches: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to scores ``(N, classes)``, 0 for the winner and negative for the others.

        Raises
        ------
        ModelError
            When nothing was fitted yet, or a fit with another scikit-learn gives another classifier.
        """
        if not len(self.train_targets):
            raise ModelError(f"This {self.kind} has not been fitted; call fit first.")
        if self.estimator is None:
            self._fit_again()
        values = self.extract(patches).double().cpu().numpy()
        scores = class_scores(self.estimator, values, self.classes)
        return torch.from_numpy(scores).to(patches.device, torch.float32)

    def _fit_estimator(self) -> list[str]:
        """Learn from the training features with the chosen settings; return what should be said."""
        from sklearn.exceptions import ConvergenceWarning

        facts = self._facts()
        values, classes = self._training_pairs()
        estimator: Any = RECIPES[self.kind].make(facts["chosen"], facts["seed"], facts["balanced"])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            estimator.fit(values, classes)
        if hasattr(estimator, "n_jobs"):
            estimator.n_jobs = 1  # threads would add votes in any order, and batches are small
        self.estimator = estimator
        unfinished = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        return [f"The {self.kind} was stopped before it had converged."] if unfinished else []

    def _fit_again(self) -> None:
        """Fit as `fit` did, and make sure that it is the same classifier."""
        self._fit_estimator()
        kept, found = self.probe_scores.cpu().numpy(), self._probe()
        same = (kept.argmax(axis=1) == found.argmax(axis=1)).all()
        if not same or not np.allclose(kept, found, rtol=1e-2, atol=1e-6):
            self.estimator = None
            version = self._facts()["version"]
            raise ModelError(
                f"This {self.kind} was fitted with scikit-learn {version}, and scikit-learn "
                f"{_sklearn_version()} makes another classifier of the same pixels; install "
                f"scikit-learn=={version}, or train it anew."
            )

    def _probe(self) -> Floats:
        values, _ = self._training_pairs()
        rows = np.unique(np.linspace(0, len(values) - 1, PROBES).astype(np.int64))
        return class_scores(self.estimator, values[rows], self.classes)

    def _training_pairs(self) -> tuple[Floats, NDArray[np.int64]]:
        return self.train_features.cpu().double().numpy(), self.train_targets.cpu().numpy()

    def _empty(self) -> dict[str, Tensor]:
        return {
            "train_features": torch.zeros(0, self.bands * (2 if self.spatial else 1)),
            "train_targets": torch.zeros(0, dtype=torch.int64),
            "probe_scores": torch.zeros(0, self.classes),
            "about": torch.zeros(0, dtype=torch.uint8),
        }

    def _describe(self, **facts: Any) -> None:
        self.about = torch.tensor(list(json.dumps({"kind": self.kind, **facts}).encode()), dtype=torch.uint8)

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(bytes(self.about.tolist()) or b"{}")
        return facts

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
        """Take buffers of any number of pixels; what was fitted stays if nothing in them changes."""
        for name, empty in self._empty().items():
            there, given = getattr(self, name), state_dict.get(prefix + name)
            if given is None or given.dtype != empty.dtype or given.shape[1:] != empty.shape[1:]:
                continue  # PyTorch tells of what is missing or of another size
            if there.shape != given.shape or not torch.equal(there.cpu(), given.cpu()):
                self.estimator = None
                setattr(self, name, torch.empty_like(given, device=there.device))
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        kind = self._facts().get("kind", self.kind)
        if kind != self.kind:
            error_msgs.append(f"{prefix}about: the state of a {kind} cannot be loaded into a {self.kind}")


def _sklearn_version() -> str:
    import sklearn

    return str(sklearn.__version__)


def _register(name: str, title: str, paper: str, alias: str) -> None:
    @register_model(
        name, title=title, paper=paper, provenance="scikit-learn", aliases=(alias,), baseline=True
    )
    def build(bands: int, classes: int, patch: int, *, features: str = "spectrum") -> Classical:
        return Classical(name, bands, classes, patch, features=features)


_register("svm", "SVM with an RBF kernel", "Melgani and Bruzzone, TGRS 2004", "rbf-svm")
_register("forest", "random forest of 500 trees", "Breiman, Machine Learning 2001", "random-forest")
_register("logistic", "multinomial logistic regression", "Cox, JRSS B 1958", "logistic-regression")
_register("knn", "k nearest neighbours", "Cover and Hart, IEEE TIT 1967", "k-nn")
