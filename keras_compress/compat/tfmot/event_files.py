"""Writing what TensorBoard reads: TensorFlow's part of the summaries, whichever back end trains."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from keras_compress.errors import KerasCompressError


def require_event_files(name: str) -> None:
    """Raise unless event files can be written; TensorFlow 2.21 no longer brings TensorBoard."""
    missing = [
        package
        for package in ("tensorflow", "tensorboard")
        if importlib.util.find_spec(package) is None
    ]
    if missing:
        raise KerasCompressError(
            f"`{name}` writes event files with TensorFlow and TensorBoard. Received: an "
            f"installation without {' and '.join(missing)}. Run `pip install "
            f"{' '.join(missing)}`, or leave the callback out: training doesn't need it."
        )


def event_writer(log_dir: object, folder: str = "") -> Any:
    """Return a writer of event files to `log_dir`, or to `folder` under it."""
    import tensorflow as tf

    return tf.summary.create_file_writer(os.path.join(str(log_dir), folder))


def require_log_dir(log_dir: object) -> None:
    """Raise unless `log_dir` is a text that isn't empty."""
    if not isinstance(log_dir, str) or not log_dir:
        raise KerasCompressError(
            f"`log_dir` must be a non-empty string. Received: log_dir={log_dir!r}."
        )
