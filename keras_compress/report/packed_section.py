"""The packed file: what takes its bytes, tensor by tensor, and how other compressors fare."""

from __future__ import annotations

from keras_compress.report import formatting
from keras_compress.report.charts import Bar, bar_chart, meter
from keras_compress.report.markup import Markup, element, join
from keras_compress.report.reading import Node
from keras_compress.report.tables import data_table

__all__ = ["packed_section"]

_UNTOLD = 0.02  # share of the file from which bytes that nothing is said about are shown

_COLUMNS = (
    "Tensor",
    "Type",
    "Shape",
    "Bytes",
    "Zeros",
    "Distinct",
    "Entropy, bits",
    "Coder",
    "Packed",
    "Bits a weight",
    "Bits a kept weight",
)


def packed_section(packed: Node | None) -> Markup:
    """Return the section on the packed file; `packed` is an inspection's dictionary."""
    heading = element("h2", "The packed file")
    if packed is None:
        return join(
            heading, element("p", "This report doesn't look into a packed file.", class_="missing")
        )
    original, size = packed.count("original_size"), packed.count("packed_size")
    sentence = element(
        "p",
        f"{formatting.count(original)} bytes of .tflite in {formatting.count(size)} bytes"
        + (f", {formatting.ratio(original / size)} smaller" if original and size else "")
        + ". Unpacking restores every byte.",
    )
    rows = [_row(tensor) for tensor in packed.nodes("tensors")]
    table = data_table(
        "Constants of the .tflite. Entropy is that of single values, in bits each.",
        _COLUMNS,
        rows,
        text_columns=frozenset({0, 1, 2, 7}),
    )
    return join(
        heading,
        sentence,
        element("div", _share_chart(packed), _comparison(packed, original, size), class_="charts"),
        table
        if rows
        else element("p", "The report lists no tensors of the file.", class_="missing"),
    )


def _row(tensor: Node) -> list[object]:
    count, zeros = tensor.count("count"), tensor.count("zeros")
    # Nothing takes no bytes at all: a 0 stands for a share that isn't known.
    packed = tensor.number("packed_bytes", minimum=0) or None
    return [
        _short_name(tensor.string("name") or "of no tensor"),
        tensor.string("dtype") or formatting.NOTHING,
        "\u00d7".join(map(str, tensor.counts("shape", longest=16))) or "scalar",
        formatting.count(tensor.count("size")),
        meter(zeros / count if count and zeros is not None and zeros <= count else None),
        formatting.count(tensor.count("distinct")),
        formatting.bits(tensor.number("entropy", minimum=0)),
        tensor.string("coder") or formatting.NOTHING,
        formatting.NOTHING if packed is None else formatting.count(round(packed)),
        formatting.bits(tensor.number("bits_per_weight", minimum=0) or None),
        formatting.bits(tensor.number("bits_per_kept_weight", minimum=0) or None),
    ]


def _short_name(name: str) -> str:
    """Return the first of the names a converter joins, without the model's name before it."""
    first = name.split(";", maxsplit=1)[0]
    parts = first.split("/")
    return "/".join(parts[1:]) if len(parts) > 2 else first


def _share_chart(packed: Node) -> Markup:
    """Return what takes the bytes: the largest tensors, the rest of them, graph and header."""
    shares = []
    for tensor in packed.nodes("tensors"):
        taken = tensor.number("packed_bytes", minimum=0)
        if taken:
            shares.append((taken, _short_name(tensor.string("name") or "unnamed")))
    shares.sort(key=lambda share: -share[0])
    bars = [
        Bar(name, taken, formatting.byte_count(round(taken)), tone="shipped")
        for taken, name in shares[:6]
    ]
    rest = sum(taken for taken, _ in shares[6:])
    if rest:
        bars.append(Bar(f"{len(shares) - 6} smaller tensors", rest, _bytes(rest)))
    for label, key in (
        ("Graph (skeleton)", "skeleton_packed"),
        ("Header, checksums", "header_size"),
    ):
        size = packed.count(key)
        if size is not None:
            bars.append(Bar(label, float(size), _bytes(size), tone="baseline"))
    size = packed.count("packed_size")
    untold = 0.0 if size is None else size - sum(bar.value or 0.0 for bar in bars)
    if size and untold > _UNTOLD * size:
        bars.insert(0, Bar("Constants, not told apart", untold, _bytes(untold), tone="shipped"))
    if not bars:
        bars = [Bar("Not stated", None, formatting.NOTHING)]
    return bar_chart("What takes the bytes", "of the packed file", bars)


def _comparison(packed: Node, original: int | None, size: int | None) -> Markup | None:
    compared = packed.node("compared")
    if compared is None or not compared.keys():
        return None
    others = {name: compared.count(name) for name in compared.keys()[:12]}
    bars = [Bar("keras-compress", size, _bytes(size), _ratio(original, size), tone="shipped")]
    for name, other in sorted(others.items(), key=lambda item: item[1] or 0):
        bars.append(Bar(name, other, _bytes(other), _ratio(original, other), tone="baseline"))
    return bar_chart("Beside other compressors", "over the same .tflite; shorter is smaller", bars)


def _bytes(size: float | None) -> str:
    return formatting.byte_count(None if size is None else round(size))


def _ratio(original: int | None, size: int | None) -> str:
    return formatting.ratio(original / size) if original and size else ""
