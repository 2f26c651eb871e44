"""`python -m hsi` is the command `hsi`."""

from hsi.commands.app import main

if __name__ == "__main__":
    main()
