"""What can go wrong, as types. Every message is one sentence that says what to do next."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import sys
from collections.abc import Iterable
from contextlib import suppress
from numbers import Integral

DISTRIBUTION = "hsi-toolkit"
"""Name on the package index; the index's own ``hsi`` is another project."""


class HsiError(Exception):
    """Something failed while running; the command line ends with status 1."""

    exit_status = 1


class InputError(HsiError):
    """Wrong usage or wrong input; the command line ends with status 2."""

    exit_status = 2


class SceneError(InputError):
    """A scene's files can be read but do not make a scene (shapes, labels, values)."""


class SceneNotFoundError(SceneError):
    """The scene's name is unknown, or its files are not on this machine."""


class FileFormatError(SceneError):
    """A file is not what its name says: truncated, an HTML page, another format, another array."""


class DownloadError(HsiError):
    """No mirror gave the file that was asked for."""


class SplitError(InputError):
    """The wanted split cannot be made from these labels."""


class ModelError(InputError):
    """Unknown model, unknown option of a model, or a size that the network cannot take."""


class ConfigError(InputError):
    """An option is unknown, has a wrong value, or clashes with another."""


class RunError(InputError):
    """A run folder is missing, incomplete, in use, or belongs to something else."""


class InUseError(RunError):
    """Another process is at work on the same folder or file."""


class StorageError(HsiError):
    """A file or folder cannot be written: a full disk, a quota, a folder that is read-only.

    Parameters
    ----------
    path
        What could not be written.
    reason
        The system's words.
    onward
        What to do once there is room.
    """

    def __init__(
        self, path: object, reason: str, onward: str = "the same command can be given again"
    ) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"'{path}' cannot be written ({reason}); what stood there before is whole, and once that is "
            f"mended {onward}."
        )


class TrainingError(HsiError):
    """Training cannot go on, such as after a loss that is not a number."""


class ExportError(HsiError):
    """A network cannot be written in a format, or the file answers otherwise than the run."""


class ClusterError(HsiError):
    """A cluster cannot be joined, or a machine of it cannot do its part."""


class Interrupted(HsiError):
    """The user stopped the command; the message says how to go on."""

    exit_status = 130


def in_words(error: Exception) -> str:
    """Return what the user is told of an error; of the system's, its words and the file."""
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or 'no file named'}."
    return str(error)


def install_command(extra: str) -> str:
    """Return the command that installs an optional extra of this package.

    >>> install_command("geo")
    "pip install 'hsi-toolkit[geo]'"
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'"


# Installed by pip, uv and conda alike; the index's own is spelled HSI.
_STRANGER = re.compile(r"hsi-([\w.+!]+)\.dist-info", re.IGNORECASE)


def stranger_note() -> str | None:
    """Return what to do where another distribution called ``hsi`` is installed as well; None where none is.

    That is the index's project of that name, or this one from before it was renamed, whose files are the
    same: removing it removes ours, too. The folders of ``sys.path`` are listed, which takes a fraction of the
    time that the import of `importlib.metadata` takes.
    """
    for folder in sys.path:
        with suppress(OSError):  # no folder, or one that may not be read
            for name in os.listdir(folder or "."):
                if found := _STRANGER.fullmatch(name):
                    return (
                        f"Another distribution called 'hsi' ({found[1]}) is installed beside this one, "
                        f"{DISTRIBUTION}; keep one: pip uninstall hsi, then "
                        f"pip install --force-reinstall --no-deps {DISTRIBUTION}."
                    )
    return None


SYNONYMS = {
    "gpu": "cuda", "nvidia": "cuda", "metal": "mps", "apple": "mps", "fp32": "float32", "single": "float32",
    "half": "fp16", "float16": "fp16", "bfloat16": "bf16",
    "spatial": "disjoint", "blocks": "disjoint",
    "learning-rate": "lr", "learn-rate": "lr", "network": "model", "net": "model", "scene": "dataset",
    "data": "dataset", "ground-truth": "labels", "gt": "labels", "output": "out", "window": "patch",
    "patch-size": "patch", "random-seed": "seed", "repeats": "runs", "early-stopping": "patience",
}  # fmt: skip
"""Words that other tools use for one of ours, or that users think of first."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice that a mistyped `word`, or one of `SYNONYMS`, stands for; None if none is close.

    >>> nearest("gpu", ["cpu", "cuda"])
    'cuda'
    """
    folded = {choice.lower(): choice for choice in choices}
    also = {other: folded[ours] for other, ours in SYNONYMS.items() if ours in folded}
    meant = also | folded  # a choice is itself, whatever else it may stand for
    wanted = word.lower()
    for spelt in (wanted, wanted.replace("_", "-")):
        if spelt in meant:
            return meant[spelt]
    close = difflib.get_close_matches(wanted, list(meant), n=1, cutoff=0.6)
    return meant[close[0]] if close else None


def near_miss(word: str, choices: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the choice closest to `word`, or an empty string."""
    close = nearest(word, choices)
    return f" Did you mean '{close}'?" if close else ""


def command_to_paste(*words: object) -> str:
    """Return a command as one line for a shell; words with spaces are quoted.

    >>> command_to_paste("hsi", "train", "--resume", "my runs/first")
    "hsi train --resume 'my runs/first'"
    """
    return shlex.join(str(word) for word in words)


def unknown(kind: str, word: str, choices: Iterable[str]) -> str:
    """Return the sentence for a name that is not among `choices`, with the nearest one and the whole list."""
    names = sorted(choices)
    return f"Unknown {kind} '{word}'.{near_miss(word, names)} Known: {', '.join(names)}."


def check_patch_width(patch: object, error: type[HsiError] = ConfigError) -> None:
    """Raise `error` unless `patch` is an odd whole number of pixels, 1 or more."""
    if isinstance(patch, bool) or not isinstance(patch, Integral) or patch < 1 or patch % 2 == 0:
        raise error(f"The patch width must be an odd number of pixels, 1 or more; got {patch}.")
