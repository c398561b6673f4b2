"""Models to time, and the stand-in of a phone, for the commands that need them."""

from tests.android.conftest import phone  # noqa: F401
from tests.bench.conftest import tflite_files  # noqa: F401
