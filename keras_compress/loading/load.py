"""`load_model`: any saved Keras model, of Keras 3 or before."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_compress.errors import ModelFileError
from keras_compress.loading.archives import Archive, is_keras_3, read_archive
from keras_compress.loading.configurations import Rewriting
from keras_compress.loading.graph import build_model, check_layers
from keras_compress.loading.original import largest_difference
from keras_compress.loading.weights import assign_weights

__all__ = ["LoadedModel", "load_model", "load_weights", "open_model"]

_TOLERANCE = 1e-4
_ATTEMPTS = 4
#: Arguments each of which makes a weight of at least so many elements.
_WIDTHS = {
    "depth_multiplier",
    "filters",
    "input_dim",
    "key_dim",
    "num_heads",
    "output_dim",
    "units",
}


@dataclass(frozen=True)
class LoadedModel:
    """A model and what is to be known about it.

    Attributes:
        model: The Keras 3 model, not compiled.
        source: What it was opened from: "keras 3", "h5", "keras" (TF-Keras) or "saved_model".
        notes: What was left out or replaced, a sentence each.
        difference: Largest difference between its outputs and those of the original, run by
            TensorFlow on the same random inputs, relative to the largest output; `None` where the
            original couldn't be run, which a note explains.
    """

    model: keras.Model
    source: str
    notes: tuple[str, ...] = ()
    difference: float | None = None


def load_model(
    path: str | os.PathLike[str],
    *,
    custom_objects: dict[str, Any] | None = None,
    safe_mode: bool = True,
    verify: bool = True,
) -> keras.Model:
    """Open a saved model of Keras 3, Keras 2, TF-Keras, tfmot or Larq as a Keras 3 model.

    Configurations that Keras 3 refuses are rewritten: moved classes, arguments that are gone
    (`groups` of depthwise layers, the axis of a normalization in a list), TensorFlow functions
    in the graph, Larq's layers. What can't be carried over is an error that names all of it.

    Args:
        path: A `.keras` or `.h5` file, or a SavedModel's folder.
        custom_objects: Classes and functions of one's own, by name. Defaults to `None`.
        safe_mode: Whether Python code inside the file (Lambda layers) is refused. Defaults to
            `True`.
        verify: Whether the result is held against the original, where TensorFlow or `tf_keras`
            can run that; see `open_model`. Defaults to `True`.

    Returns:
        The model, with its weights, not compiled. Notes on what was left out are warnings.

    Raises:
        ModelFileError: If the file is missing, damaged, of weights alone, or has something that
            can't be carried over; or if the result computes something else than the original.
    """
    opened = open_model(path, custom_objects=custom_objects, safe_mode=safe_mode, verify=verify)
    for note in opened.notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return opened.model


def open_model(
    path: str | os.PathLike[str],
    *,
    custom_objects: dict[str, Any] | None = None,
    safe_mode: bool = True,
    verify: bool = True,
) -> LoadedModel:
    """Open a saved model as `load_model` does, and return what is to be known about it too.

    A SavedModel is run by TensorFlow itself for the comparison; an `.h5` or TF-Keras file by
    `tf_keras` where that is installed.

    Args:
        path: As of `load_model`.
        custom_objects: As of `load_model`.
        safe_mode: As of `load_model`.
        verify: As of `load_model`.

    Raises:
        ModelFileError: As of `load_model`.
    """
    path = Path(path)
    if is_keras_3(path):
        return LoadedModel(_load_keras_3(path, custom_objects, safe_mode), "keras 3")
    archive = read_archive(path)
    if archive.model is None:
        raise ModelFileError(
            f"{path} holds weights and no model. Build the model and call "
            "`keras_compress.load_weights(model, path)`."
        )
    if archive.version.startswith("1."):
        raise ModelFileError(
            f"{path} is of Keras {archive.version}, whose layers take other arguments: open and "
            "save it with Keras 2 first."
        )
    _check_sizes(archive, path)
    rewriting = Rewriting(dict(custom_objects or {}), safe_mode)
    model = _rebuild(archive, rewriting, path)
    without = tuple(assign_weights(model, archive))
    if without:
        raise ModelFileError(
            f"{path} has no weights for {', '.join(map(repr, without[:5]))}: it is cut short."
        )
    notes, difference = list(dict.fromkeys(rewriting.notes)), None
    if verify:
        difference, reason = largest_difference(model, path, archive.original)
        if reason:
            notes.append(reason)
        if difference is not None and not difference <= _TOLERANCE:
            raise ModelFileError(
                f"{path} was opened, but computes something else than the original: outputs "
                f"differ by {difference:.2g} of the largest. Please report it."
            )
    return LoadedModel(model, archive.kind, tuple(notes), difference)


def _check_sizes(archive: Archive, path: Path) -> None:
    """Refuse layers that are wider than the file has weights, before Keras allocates them."""
    stored = sum(value.size for named in archive.weights.values() for _, value in named)
    for found in _numbers_in(archive.model):
        if found > max(stored, 1):
            raise ModelFileError(
                f"{path} asks for a layer of {found} units and holds {stored} weights: it is "
                "damaged."
            )


def _numbers_in(value: object) -> Iterator[int]:
    if isinstance(value, list):
        for each in value:
            yield from _numbers_in(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key in _WIDTHS and isinstance(each, int) and not isinstance(each, bool):
                yield each
            else:
                yield from _numbers_in(each)


def _rebuild(archive: Archive, rewriting: Rewriting, path: Path) -> keras.Model:
    assert archive.model is not None  # noqa: S101
    try:
        check_layers(archive.model, rewriting)
        if rewriting.problems:
            listed = "; ".join(dict.fromkeys(rewriting.problems))
            raise ModelFileError(f"{path} can't be opened in Keras 3: {listed}.")
        return _build_with_free_names(archive.model, rewriting)
    except RecursionError as error:
        raise ModelFileError(f"{path} nests its layers deeper than any model.") from error
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        text = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"{path} has a configuration that contradicts itself: {type(error).__name__}: {text}"
        ) from error


def _build_with_free_names(entry: dict[str, Any], rewriting: Rewriting) -> keras.Model:
    for attempt in range(_ATTEMPTS):
        rewriting.notes.clear()
        try:
            return build_model(entry, rewriting)
        except ModelFileError:
            raise
        except ValueError as error:
            # Keras numbers functions in the graph itself, and may take the name of a layer in
            # the file; the next time it counts on.
            if attempt == _ATTEMPTS - 1 or "names should be unique" not in str(error):
                text = " ".join(str(error).split())[:300]
                raise ModelFileError(f"Keras refuses the model's graph: {text}") from error
    return None


def _load_keras_3(
    path: Path, custom_objects: dict[str, Any] | None, safe_mode: bool
) -> keras.Model:
    if path.suffix != ".keras":
        raise ModelFileError(
            f"Keras reads a saved model from a name that ends in .keras. Received: {path}."
        )
    # Its layers are in files of prepared and finalized models, and registered as it is imported.
    from keras_compress import quantization  # noqa: F401

    try:
        return keras.models.load_model(
            path, custom_objects=custom_objects, compile=False, safe_mode=safe_mode
        )
    except MemoryError:
        raise
    except Exception as error:
        # Keras raises whatever the damage leads to, from KeyError to BadZipFile.
        text = " ".join(str(error).split())
        raise ModelFileError(
            f"Keras can't load {path}: {type(error).__name__}: {text[:300]}"
        ) from error


def load_weights(
    model: keras.Model, path: str | os.PathLike[str], *, in_order: bool = False
) -> list[str]:
    """Give a model of one's own the weights of a Keras 2 file, layer by layer by their names.

    Args:
        model: A built Keras model; it is changed.
        path: An `.h5` file or SavedModel of Keras 2, with or without the model.
        in_order: Whether the layers of the file are given to those of the model in their order,
            whatever their names; a file without top leaves the last ones of the model as they are.
            Defaults to `False`.

    Returns:
        Names of the layers that have weights of which the file says nothing.

    Raises:
        ModelFileError: If the file is damaged, names layers that the model doesn't have, or has
            other shapes. The model is as it was then.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ModelFileError(f"`model` must be a built `keras.Model`. Received: {model!r}.")
    return assign_weights(model, read_archive(path), in_order)
