"""Configurations of Keras 2, rewritten to what Keras 3 takes."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_compress.errors import ModelFileError
from keras_compress.loading.larq_layers import LARQ, binary_layer_of
from keras_compress.loading.replaced_layers import REPLACED

__all__ = ["Rewriting", "class_of", "layer_name", "layers_of", "names_by_file"]

_ANY = object()

#: Arguments that Keras 3 took away, and the values with which they change nothing. Others are an
#: error that names them.
_WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "batch_input_shape": (_ANY,),
    "batch_size": (_ANY,),
    "fused": (_ANY,),
    "groups": (1,),
    "implementation": (_ANY,),
    "input_dtype": (_ANY,),
    "input_length": (_ANY,),
    "input_shape": (_ANY,),
    "num_constants": (None,),
    "ragged": (False, None),
    "renorm": (False,),
    "softmax_robust_masking": (False,),
    "sparse": (False, None),
    "time_major": (False, None),
    "virtual_batch_size": (None,),
    # Shapes that the layer was built on: it is built anew.
    "key_shape": (_ANY,),
    "query_shape": (_ANY,),
    "value_shape": (_ANY,),
    # Of initializers: the weights' own type decides.
    "dtype": (_ANY,),
}
#: What `get_config` of Keras 2's convolutions inherits and never uses.
_INHERITED = {"kernel_initializer", "kernel_regularizer", "kernel_constraint"}
_NAMED_ANEW = {"LeakyReLU": {"alpha": "negative_slope"}}
_CLASSES_NAMED_ANEW = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "GRUV2": "GRU",
    "LSTMV2": "LSTM",
    "Model": "Functional",
    "SyncBatchNormalization": "BatchNormalization",
}
#: Training wrappers of tfmot. The weight inside is the layer's own.
PRUNING_WRAPPERS = {"PruneLowMagnitude"}


def class_of(entry: dict[str, Any]) -> str:
    """Return the bare name of the class in a serialized layer, as Keras 3 calls it."""
    name = str(entry.get("class_name", "")).rpartition(">")[2]
    return _CLASSES_NAMED_ANEW.get(name, name)


def layers_of(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the serialized layers of a serialized model.

    Raises:
        ModelFileError: If there are none.
    """
    config = entry.get("config")
    found = config if isinstance(config, list) else (config or {}).get("layers")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ModelFileError("A model's configuration lists its layers. Received one without.")
    return found


def layer_name(entry: dict[str, Any]) -> str:
    """Return the name of the layer that is made of a serialized one."""
    config = entry.get("config")
    config = config if isinstance(config, dict) else {}
    inner = config.get("layer")
    if class_of(entry) in PRUNING_WRAPPERS and isinstance(inner, dict):
        return layer_name(inner)
    # Keras 3 keeps the slash to itself.
    return str(config.get("name") or entry.get("name")).replace("/", "_")


def names_by_file(entry: dict[str, Any]) -> dict[str, str]:
    """Return, by the names in the file, those of the layers made of a serialized model's."""
    found = {}
    for each in layers_of(entry):
        config = each.get("config")
        inside = config.get("name") if isinstance(config, dict) else None
        found[str(each.get("name") or inside)] = layer_name(each)
    return found


@dataclass
class Rewriting:
    """Rewrites serialized objects, and gathers what Keras 3 has no place for.

    Attributes:
        custom_objects: Classes and functions by name, as `keras.models.load_model` takes them.
        safe_mode: Whether code inside the file is refused.
        problems: What can't be carried over, each a sentence's part with the layer's name.
        notes: What was left out without an effect on the results, or replaced.
    """

    custom_objects: dict[str, Any] = field(default_factory=dict)
    safe_mode: bool = True
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def layer(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return a serialized layer rewritten, with everything that is inside it."""
        name = class_of(entry)
        config = dict(entry.get("config") or {})
        label = f"{name} {config.get('name', '')!r}"
        if name in self.custom_objects:
            return {**entry, "class_name": name, "config": config}
        if name in PRUNING_WRAPPERS:
            inner = config.get("layer")
            if not isinstance(inner, dict):
                self.problems.append(f"{label} wraps no layer")
                return entry
            self.notes.append("Layers were pruned and not stripped: they are taken as they are.")
            return self.layer(inner)
        if name in REPLACED:
            before, (name, config) = name, REPLACED[name](config)
            self.notes.append(f"{before} became {name}, which computes the same.")
        if name in LARQ:
            name, config = binary_layer_of(name, config, label, self.problems, self.notes)
        if name == "Lambda" and self.safe_mode:
            self.problems.append(
                f"{label} brings Python code in the file: pass `safe_mode=False` if you trust it"
            )
            return entry
        if entry.get("class_name") == "SyncBatchNormalization":
            config["synchronized"] = True
        kind = self._stock(name)
        if kind is None:
            what = (
                "has no counterpart here" if name.startswith("Quant") else "is no layer of Keras 3"
            )
            self.problems.append(f"{label} {what}: pass it in `custom_objects`")
            return entry
        config = {key: self._inside(value) for key, value in config.items()}
        config = self._arguments(kind, name, label, config)
        if isinstance(config.get("name"), str):
            config["name"] = config["name"].replace("/", "_")
        ours = name in LARQ.values()
        return {
            "module": kind.__module__ if ours else "keras.layers",
            "class_name": name,
            "config": config,
            "registered_name": f"keras_compress>{name}" if ours else None,
        }

    def _stock(self, name: str) -> Any:
        if name in LARQ.values():
            from keras_compress import binary

            return getattr(binary, name)
        kind = getattr(keras.layers, name, None)
        return kind if inspect.isclass(kind) and issubclass(kind, keras.layers.Layer) else None

    def _inside(self, value: object) -> Any:
        if isinstance(value, list):
            return [self._inside(each) for each in value]
        if not isinstance(value, dict):
            return value
        kind = class_of(value) if "class_name" in value else ""
        if kind and "config" in value:
            if kind == "Policy" or kind == "PolicyV1":
                return value["config"].get("name", "float32")
            if kind == "function":
                return value["config"]
            if self._stock(kind) is not None and kind not in dir(keras.initializers):
                return self.layer(value)
            return self._small_object(kind, value)
        return {key: self._inside(each) for key, each in value.items()}

    def _small_object(self, name: str, value: dict[str, Any]) -> Any:
        """Rewrite an initializer, regularizer or constraint."""
        config = value["config"]
        for module in (keras.initializers, keras.regularizers, keras.constraints):
            kind = getattr(module, name, None)
            if inspect.isclass(kind) and isinstance(config, dict):
                known = _accepted(kind)
                kept = {k: v for k, v in config.items() if known is None or k in known}
                for key in set(config) - set(kept) - set(_WITHOUT_EFFECT):
                    self.notes.append(f"{name}: Keras 3 has no {key}={config[key]!r}, left out.")
                return {
                    "module": module.__name__.replace("keras.api.", "keras."),
                    "class_name": name,
                    "config": kept,
                    "registered_name": None,
                }
        return value

    def _arguments(self, kind: object, name: str, label: str, config: dict[str, Any]) -> dict:
        renamed = _NAMED_ANEW.get(name, {})
        config = {renamed.get(key, key): value for key, value in config.items()}
        if name == "BatchNormalization" and isinstance(config.get("axis"), list | tuple):
            axes = list(config["axis"])
            if len(axes) != 1:
                self.problems.append(f"{label} normalizes several axes ({axes}); Keras 3 takes one")
            else:
                config["axis"] = axes[0]
        known = _accepted(kind)
        kept = {}
        for key, value in config.items():
            if known is None or key in known:
                kept[key] = value
                continue
            without_effect = _WITHOUT_EFFECT.get(key, ())
            inherited = key in _INHERITED and name.startswith(("Depthwise", "Separable"))
            if inherited or _ANY in without_effect or any(value == v for v in without_effect):
                continue
            if value is None:
                continue
            self.problems.append(f"{label} has {key}={value!r}, which Keras 3 has no argument for")
        return kept


def _accepted(kind: Any) -> set[str] | None:
    """Return the arguments that `kind` takes; `None` if it takes any."""
    names: set[str] = set()
    for base in inspect.getmro(kind):
        if base is object or "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {"self"}
