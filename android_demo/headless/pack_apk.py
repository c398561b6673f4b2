"""Writes an unsigned APK in which everything that gets mapped is stored, aligned, and stays so.

    python pack_apk.py OUT.apk RESOURCES.apk NAME_IN_APK=FILE...

Android 11 and later refuse a compressed resources.arsc; a library is mapped from the APK at 16
KiB, a model at 4 bytes. The padding is the extra field 0xd935, whose first two bytes tell apksigner
which alignment to keep. Times are fixed: the same inputs give the same bytes.
"""

import sys
import zipfile
from pathlib import Path

_ALIGNMENT = {".so": 16384, ".arsc": 4, ".tflite": 4, ".kcz": 4}
_LOCAL_HEADER = 30
_EXTRA_HEADER = 6
_TIME = (1981, 1, 1, 1, 1, 2)


def add(apk: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _TIME)
    alignment = _ALIGNMENT.get(Path(name).suffix)
    if alignment is None:
        info.compress_type = zipfile.ZIP_DEFLATED
    else:
        start = apk.fp.tell() + _LOCAL_HEADER + len(name.encode()) + _EXTRA_HEADER
        padding = -start % alignment
        info.extra = b"".join(
            value.to_bytes(2, "little") for value in (0xD935, 2 + padding, alignment)
        ) + bytes(padding)
    apk.writestr(info, data)


def main(out: str, resources: str, *parts: str) -> None:
    with zipfile.ZipFile(out, "w") as apk:
        with zipfile.ZipFile(resources) as compiled:
            for name in compiled.namelist():
                add(apk, name, compiled.read(name))
        for part in parts:
            name, path = part.split("=", 1)
            if Path(path).is_dir():
                for file in sorted(Path(path).iterdir()):
                    add(apk, f"{name}/{file.name}", file.read_bytes())
            else:
                add(apk, name, Path(path).read_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
