"""A report from outside: bad JSON and bad fields are named, absent ones are no error."""

from __future__ import annotations

import json

import pytest

from keras_compress.errors import KerasCompressError
from keras_compress.report import parse
from keras_compress.report.document import document_of
from keras_compress.report.reading import Node
from tests.report.sample_report import sample_report


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "must be JSON"),
        (b"{", "must be JSON"),
        (b"[1]", "one JSON object.*list"),
        (b'"text"', "one JSON object.*string"),
        (b"\xff\xfe{}", "UTF-8 at offset 0"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a":' * 100_000, "nested|JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "JSON"),
        (b"TFL3\x00\x00", "must be JSON"),
    ],
    ids=["empty", "cut", "list", "string", "no utf-8", "NaN", "-inf", "deep", "long", "binary"],
)
def test_what_is_no_report(data, message):
    with pytest.raises(KerasCompressError, match=message):
        parse(data, origin="x.json")


def test_a_byte_order_mark_is_taken():
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


BAD_FIELDS = [
    (("schema_version",), 2, "schema version 1.*schema_version=2"),
    (("schema_version",), 0, "must say its `schema_version`"),
    (("schema_version",), None, "must say its `schema_version`"),
    (("schema_version",), "1", "`schema_version` must be a whole number"),
    (("title",), 7, "`title` must be text"),
    (("duration_s",), -1, "`duration_s` must be a finite number, at least 0"),
    (("baseline",), [], "`baseline` must be an object"),
    (("baseline", "accuracy"), 99.1, "`baseline.accuracy`.*from 0 to 1.*99.1"),
    (("baseline", "accuracy"), True, "`baseline.accuracy`"),
    (("baseline", "accuracy"), 10**400, "`baseline.accuracy`"),
    (("baseline", "tflite_bytes"), 1.5, "`baseline.tflite_bytes` must be a whole number"),
    (("baseline", "packed_bytes"), -1, "`baseline.packed_bytes`"),
    (("compressed", "latency_ms"), "fast", "`compressed.latency_ms`"),
    (("stages",), {}, "`stages` must be a list"),
    (("stages", 1), 3, r"`stages\[1\]` must be an object"),
    (("stages", 1, "shipped"), "yes", r"`stages\[1\].shipped` must be true or false"),
    (("layers", 0, "zeros"), 289, "at most as many `zeros` as `weights`"),
    (("layers", 0, "shape"), [3, -3], r"`layers\[0\].shape.1`"),
    (("layers", 0, "shape"), [1] * 17, "at most 16 items"),
    (("layers", 0, "before", "histogram", "counts"), [1] * 513, "at most 512"),
    (("layers", 0, "before", "histogram", "low"), 7, "`low` must lie below its `high`"),
]


@pytest.mark.parametrize(
    ("path", "value", "message"), BAD_FIELDS, ids=[".".join(map(str, f[0])) for f in BAD_FIELDS]
)
def test_a_bad_field_is_named(path, value, message):
    report = sample_report()
    place = report
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(KerasCompressError, match=message):
        document_of(report)


def test_something_else_in_json():
    with pytest.raises(KerasCompressError, match="top level has name, version"):
        document_of({"name": "a package", "version": "1"})
    with pytest.raises(KerasCompressError, match="none of them"):
        document_of({"schema_version": 1})
    with pytest.raises(KerasCompressError, match="list"):
        document_of([])


def test_absent_and_null_parts_are_no_error():
    document = document_of({"schema_version": 1, "baseline": {}, "layers": None})
    assert document.baseline is not None
    assert document.baseline.accuracy is None
    assert document.layers == []
    assert document.shown_stages == [document.baseline]


def test_unknown_fields_are_no_error():
    report = sample_report()
    report["baseline"]["new"] = report["layers"][0]["new"] = report["new"] = {"a": [1]}
    assert document_of(report).title == report["title"]


def test_the_sample_survives_json():
    report = parse(json.dumps(sample_report()).encode())
    assert document_of(report).layers[2].sparsity == pytest.approx(0.88, abs=1e-3)


def test_errors_stay_short():
    with pytest.raises(KerasCompressError) as caught:
        Node({"a" * 10_000: "b" * 10_000}).number("a" * 10_000)
    assert len(str(caught.value)) < 500
