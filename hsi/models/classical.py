"""Classical classifiers as models: SVM, random forest, logistic regression and k nearest neighbours.

The option ``features`` is what they see of a patch: "spectrum", the spectrum of the centre, or "spatial",
that followed by the mean spectrum over the patch. The hyperparameters are chosen by cross-validation on the
training pixels, with whole fields held out (see `hsi.models.classical_tuning`): pixels of one field are so
alike that random folds would favour memorising. The grids:

* svm (RBF; Cortes and Vapnik, 1995; Melgani and Bruzzone, 2004): C 1, 4, ..., 1024; gamma 1/256, 1/64, ..., 4
  times the power of two next to 1 / (features x variance);
* logistic (Cox, 1958): C 2^-8, 2^-6, ..., 2^6;
* knn (Cover and Hart, 1967): k 1, 3, 5, 7, 9, 15, 25;
* forest (Breiman, 2001): nothing to tune; 500 trees.
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
from hsi.models.registry import check_sizes, register_model

FEATURES = ("spectrum", "spatial")
PROBES = 256  # training pixels whose scores are stored, to check a refitted classifier


class Classical(nn.Module):
    """A scikit-learn classifier as a module: ``(N, bands, P, P)`` to scores ``(N, classes)``.

    The largest score is at the predicted class; see `class_scores` for the others. The state dict holds the
    training features, the chosen hyperparameters and the seed, but no code: a loaded model is refitted on
    first use (seconds; minutes for an SVM on tens of thousands of pixels). Another version of scikit-learn
    will do if it gives the same scores, which is checked.

    Parameters
    ----------
    kind
        A name in `RECIPES`.
    features
        "spectrum" or "spatial".
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
        check_sizes(bands, classes, patch)
        self.kind, self.bands, self.classes = kind, bands, classes
        self.spatial = features == "spatial"
        self.estimator: Any = None
        for name, empty in self._empty().items():
            self.register_buffer(name, empty)

    def extract(self, patches: Tensor) -> Tensor:
        """Return features of patches ``(N, bands, P, P)``: ``(N, bands)``, or ``(N, 2 bands)`` if spatial.

        The mean is over the centre and all pixels that are not zero: zeros are outside the scene or the
        centre's region.
        """
        if patches.device.type == "mps":
            patches = patches.cpu()  # MPS has no float64
        middle = patches.shape[-1] // 2
        spectrum = patches[:, :, middle, middle]
        if not self.spatial:
            return spectrum.contiguous()
        valid = (patches != 0).any(dim=1)  # (N, P, P)
        valid[:, middle, middle] = True
        count = valid.sum(dim=(1, 2))[:, None]
        mean = patches.sum(dim=(2, 3), dtype=torch.float64) / count  # float64: the same in any batch
        return torch.cat([spectrum, mean.to(spectrum.dtype)], dim=1)

    def fit(
        self, features: Tensor, targets: Tensor, groups: NDArray[np.int64], *, seed: int, balanced: bool
    ) -> list[str]:
        """Choose the hyperparameters and fit; return notes for the user.

        Parameters
        ----------
        features
            ``(n, features)`` float32, as `extract` returns them.
        targets
            ``(n,)`` class 0..C-1, two classes or more.
        groups
            ``(n,)`` field of each pixel, for the cross-validation.
        seed
            Of the forest, and of the pixels used for tuning.
        balanced
            Weight classes by their inverse frequency; k-NN has no such weights.
        """
        self.train_features, self.train_targets = features.detach().cpu(), targets.cpu()
        values, classes = self._training_pairs()
        chosen, notes = choose(RECIPES[self.kind], values, classes, groups, seed=seed, balanced=balanced)
        self._set_facts(chosen=chosen, seed=seed, balanced=balanced, version=_sklearn_version())
        notes += self._fit_estimator()
        self.probe_scores = torch.from_numpy(self._probe()).float()
        return notes

    @property
    def chosen(self) -> Chosen:
        """The hyperparameters that `fit` chose, such as ``{"C": 16.0, "gamma": 0.03125}``; empty before."""
        return dict(self._facts().get("chosen", {}))

    def forward(self, patches: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to scores ``(N, classes)``, 0 for the winner and negative for the others.

        Raises
        ------
        ModelError
            Before `fit`, or if the installed scikit-learn gives another classifier than the one stored.
        """
        if not len(self.train_targets):
            raise ModelError(f"This {self.kind} has not been fitted; call fit first.")
        if self.estimator is None:
            self._refit()
        values = self.extract(patches).double().cpu().numpy()
        scores = class_scores(self.estimator, values, self.classes)
        return torch.from_numpy(scores).to(patches.device, torch.float32)

    def _fit_estimator(self) -> list[str]:
        """Fit to the training features with the chosen hyperparameters; return notes for the user."""
        from sklearn.exceptions import ConvergenceWarning

        facts = self._facts()
        values, classes = self._training_pairs()
        estimator: Any = RECIPES[self.kind].make(facts["chosen"], facts["seed"], facts["balanced"])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            estimator.fit(values, classes)
        if hasattr(estimator, "n_jobs"):
            estimator.n_jobs = 1  # with threads the order of summation varies; batches are small anyway
        self.estimator = estimator
        stopped = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        return [f"The {self.kind} was stopped before it had converged."] if stopped else []

    def _refit(self) -> None:
        """Fit as `fit` did, and check the stored scores."""
        self._fit_estimator()
        stored, found = self.probe_scores.cpu().numpy(), self._probe()
        same = (stored.argmax(axis=1) == found.argmax(axis=1)).all()
        if not same or not np.allclose(stored, found, rtol=1e-2, atol=1e-6):
            self.estimator = None
            version = self._facts()["version"]
            raise ModelError(
                f"This {self.kind} was fitted with scikit-learn {version}, and scikit-learn "
                f"{_sklearn_version()} gives another classifier for the same pixels; install "
                f"scikit-learn=={version}, or train again."
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

    def _set_facts(self, **facts: Any) -> None:
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
        """Accept buffers of any number of pixels; drop the fitted estimator if any of them changes."""
        for name, empty in self._empty().items():
            present, given = getattr(self, name), state_dict.get(prefix + name)
            if given is None or given.dtype != empty.dtype or given.shape[1:] != empty.shape[1:]:
                continue  # PyTorch reports missing buffers and other sizes
            if present.shape != given.shape or not torch.equal(present.cpu(), given.cpu()):
                self.estimator = None
                setattr(self, name, torch.empty_like(given, device=present.device))
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
