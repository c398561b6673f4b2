"""The `.tflite` file and its runtime: one reader, one editor, one place that knows the schema.

* `reader`, `model_file`: a file from anywhere, as plain numbers.
* `editor`, `in_place`: a converted file changed, whole or byte by byte.
* `schema`, `custom_operators`: names, numbers and types.
* `runtime`, `running`, `input_shapes`: the TFLite runtime, and a model run in it.

Neither TensorFlow nor Keras is imported, unless TensorFlow's is the only runtime installed.
"""

from keras_compress.tflite.editor import Editor
from keras_compress.tflite.model_file import Operator, Signature, Tensor, TfliteFile
from keras_compress.tflite.reader import read_tflite
from keras_compress.tflite.running import run_tflite
from keras_compress.tflite.runtime import Runtime, load_runtime, make_interpreter

__all__ = [
    "Editor",
    "Operator",
    "Runtime",
    "Signature",
    "Tensor",
    "TfliteFile",
    "load_runtime",
    "make_interpreter",
    "read_tflite",
    "run_tflite",
]
