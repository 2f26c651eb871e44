"""Print the benchmark scenes of an experiment whose files are not on this machine, one a line.

python -m experiments.missing_scenes experiments/paper_tables.toml
"""

from __future__ import annotations

import sys

from hsi.datasets import is_on_disk
from hsi.datasets.catalogue.entries import find_entry
from hsi.errors import InputError
from hsi.sweep.experiment import read_experiment


def main(arguments: list[str]) -> int:
    """Print the names; return the exit status."""
    try:
        (path,) = arguments
        experiment = read_experiment(path)
    except ValueError:
        print("usage: python -m experiments.missing_scenes EXPERIMENT.toml", file=sys.stderr)
        return 2
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    entries = [find_entry(scene["dataset"]) for scene in experiment.scenes.values()]
    for entry in entries:
        if entry is not None and not is_on_disk(entry):
            print(entry.name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
