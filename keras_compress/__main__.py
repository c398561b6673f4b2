"""Lets `python -m keras_compress` stand for the `keras-compress` command."""

import sys

from keras_compress.cli.main import main

sys.exit(main())
