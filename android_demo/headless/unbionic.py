"""Copies an Android library into one that a glibc host loads, to test what is in the APK itself.

    python unbionic.py IN.so OUT.so

The libraries it needs get their names of the host, symbol versions are dropped, and the few names
that both C libraries have with different interfaces are renamed: bionic_on_glibc.c has them. Needs
patchelf, one change a call: 0.14.3 spoils the list when several are asked for at once.
"""

import shutil
import struct
import subprocess
import sys
from pathlib import Path

_NEEDED = {
    "libm.so": "libm.so.6",
    "libdl.so": "libdl.so.2",
    "liblog.so": "libbionic_on_glibc.so",
    "libc.so": "libc.so.6",
}
# The last letter becomes a G; the others of the interface are the same on both sides.
_RENAMED = {b"vfprintf", b"fprintf", b"fputc", b"fflush", b"fileno", b"fwrite", b"strerror_r"} | {
    b"sysconf",
    b"dlsym",
}
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_STRTAB, _DT_SYMTAB, _DT_STRSZ = 5, 6, 10
# VERSYM, VERDEF, VERDEFNUM, VERNEED, VERNEEDNUM
_VERSIONS = {0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF}
_ENTRY = struct.Struct("<qQ")
_HEADER = struct.Struct("<IIQQQQ")
_SYMBOL_SIZE = 24


def drop_versions(data: bytearray, offset: int, size: int) -> dict[int, int]:
    entries = [_ENTRY.unpack_from(data, offset + at) for at in range(0, size, _ENTRY.size)]
    kept = [entry for entry in entries if entry[0] not in _VERSIONS]
    kept += [(0, 0)] * (len(entries) - len(kept))
    for number, entry in enumerate(kept):
        _ENTRY.pack_into(data, offset + number * _ENTRY.size, *entry)
    return dict(entries)


def rename_undefined(data: bytearray, strings: int, size: int, symbols: int) -> None:
    names = bytes(data[strings : strings + size])
    missing = set(_RENAMED)
    place = symbols + _SYMBOL_SIZE
    while missing and place + _SYMBOL_SIZE <= len(data):
        name, _, _, section = struct.unpack_from("<IBBH", data, place)
        if name >= size:
            break
        text = names[name : names.index(b"\0", name)]
        if section == 0 and text in missing:
            missing.discard(text)
            data[strings + name + len(text) - 1] = ord("G")
        place += _SYMBOL_SIZE


def main(source: str, target: str) -> None:
    shutil.copyfile(source, target)
    for old, new in _NEEDED.items():
        subprocess.run(["patchelf", "--replace-needed", old, new, target], check=True)
    subprocess.run(["patchelf", "--set-rpath", "$ORIGIN", target], check=True)
    data = bytearray(Path(target).read_bytes())
    (table,) = struct.unpack_from("<Q", data, 32)
    entry_size, count = struct.unpack_from("<HH", data, 54)
    headers = [_HEADER.unpack_from(data, table + i * entry_size) for i in range(count)]

    def offset_of(address: int) -> int:
        for kind, _, offset, start, _, size in headers:
            if kind == _PT_LOAD and start <= address < start + size:
                return address - start + offset
        raise SystemExit(f"{source}: address {address:#x} is in no segment")

    for kind, _, offset, _, _, size in headers:
        if kind == _PT_DYNAMIC:
            tags = drop_versions(data, offset, size)
            rename_undefined(
                data, offset_of(tags[_DT_STRTAB]), tags[_DT_STRSZ], offset_of(tags[_DT_SYMTAB])
            )
    Path(target).write_bytes(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
