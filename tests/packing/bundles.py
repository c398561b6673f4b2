"""Bundles of models made by hand: zips, and `.litertlm` files."""

from __future__ import annotations

import io
import zipfile

import flatbuffers


def make_zip(
    entries: dict[str, bytes], *, deflated: tuple[str, ...] = (), stub: bytes = b""
) -> bytes:
    """A zip whose entries are stored, but for those named; `stub` stands before it."""
    out = io.BytesIO()
    out.write(stub)
    with zipfile.ZipFile(out, "a") as file:
        for name, data in entries.items():
            kind = zipfile.ZIP_DEFLATED if name in deflated else zipfile.ZIP_STORED
            file.writestr(zipfile.ZipInfo(name), data, kind)
    return out.getvalue()


def make_litertlm(sections: list[tuple[str, bytes]], *, block: int = 16384) -> bytes:
    """A `.litertlm` with sections of these names ("" for none), each at a whole block."""
    places, at = [], block
    for _, data in sections:
        places.append((at, at + len(data)))
        at = (at + len(data) + block) // block * block
    builder = flatbuffers.Builder(256)

    def table(*fields: tuple[int, str, int]) -> int:
        builder.StartObject(max(slot for slot, _, _ in fields) + 1)
        for slot, kind, value in fields:
            if kind == "offset":
                builder.PrependUOffsetTRelativeSlot(slot, value, 0)
            elif kind == "u64":
                builder.PrependUint64Slot(slot, value, 0)
            else:
                builder.PrependUint8Slot(slot, value, 0)
        return int(builder.EndObject())

    def vector(items: list[int]) -> int:
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return int(builder.EndVector())

    objects = []
    for (name, _), (begin, end) in zip(sections, places, strict=True):
        fields = [(1, "u64", begin), (2, "u64", end), (3, "u8", 3)]
        if name:
            key, text = builder.CreateString("model_type"), builder.CreateString(name)
            value = table((0, "offset", text))
            item = table((0, "offset", key), (1, "u8", 9), (2, "offset", value))
            fields.append((0, "offset", vector([item])))
        objects.append(table(*fields))
    metadata = table((0, "offset", vector(objects)))
    builder.Finish(table((1, "offset", metadata)))
    header = bytes(builder.Output())
    head = b"LITERTLM" + (1).to_bytes(4, "little") + bytes(12)
    out = bytearray(head + (32 + len(header)).to_bytes(8, "little") + header)
    for (_, data), (begin, _) in zip(sections, places, strict=True):
        out += bytes(begin - len(out)) + data
    return bytes(out)
