"""Lets `python -m keras_compress` stand for the `keras-compress` command."""

import sys


def run() -> int:
    """Run the command; Ctrl-C while it is still being imported is no traceback either."""
    try:
        from keras_compress.cli.main import main

        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(run())
