"""`python -m hsi` is the command `hsi`."""

import io
import sys


def main() -> None:
    """Run the command; Ctrl-C ends it without a traceback even while its modules are being imported."""
    # What an old code page (Windows, into a file or pipe) cannot write is written as "?".
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")
    try:
        from hsi.commands.app import main as command

        command()
    except KeyboardInterrupt:
        print("hsi: Interrupted; nothing was written.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
