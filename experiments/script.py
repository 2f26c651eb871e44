"""What these scripts have in common: an error of hsi is one sentence, and the exit status says so."""

from __future__ import annotations

import sys
from collections.abc import Callable

from hsi.errors import HsiError


def run_script(main: Callable[[list[str]], int]) -> None:
    """Run a script with the arguments of the command line, and exit with its status."""
    try:
        sys.exit(main(sys.argv[1:]))
    except HsiError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)
