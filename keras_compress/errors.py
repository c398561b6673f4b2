"""The one exception family that a caller, or the command line, has to know."""

from __future__ import annotations


class KerasCompressError(ValueError):
    """Something handed to the package was bad; the message says the rule and the remedy.

    The command line turns it into one line and exit code 1. It is a `ValueError`, so code
    written for Keras' own argument errors catches it too.
    """


class PackedFileError(KerasCompressError):
    """A packed (`.kcz`) file is damaged, newer than this reader, or over a caller's limit."""


class ModelFileError(KerasCompressError):
    """A `.tflite` or `.keras` file is empty, cut short or not a model."""


class ExportError(KerasCompressError):
    """A model can't be converted as asked, or its conversion failed the verification."""


class NativeLibraryError(KerasCompressError):
    """The native library is missing or of another version than the Python package."""
