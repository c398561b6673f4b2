"""The page: whole, self-contained, honest about what is missing, safe whatever the JSON says."""

from __future__ import annotations

import html.parser
import json
import re

import pytest

from keras_compress.errors import KerasCompressError
from keras_compress.report import formatting, render
from tests.report.sample_report import sample_report

VOID = {"meta", "link", "br", "hr", "col"}


class Outline(html.parser.HTMLParser):
    """Checks that elements close in order, and gathers them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.text.append(data)

    def tags(self, name):
        return [attributes for tag, attributes in self.elements if tag == name]


def plain(page: str) -> str:
    return " ".join(" ".join(Outline(page).text).replace("\u00a0", " ").split())


def test_channels_before_and_after_are_a_picture():
    shown = plain(render(sample_report()))
    assert "104 of 128 are left" in shown
    assert "40 of 64" in shown and "left out by the user" in shown
    report = sample_report()
    report["channel_groups"][0]["kept"] = 65
    with pytest.raises(KerasCompressError, match="at most as many channels `kept` as `before`"):
        render(report)
    del report["channel_groups"]
    assert "Channels of each group" not in plain(render(report))


def test_the_numbers_are_on_the_page():
    shown = plain(render(sample_report()))
    for expected in (
        "37.7\u00d7 smaller",
        "98.89 %",
        "\u22120.22 points against 99.11 %",
        "52.0 \u00b5s",
        "343,520 B",
        "9,120 B",
        "+0.22 points",
        "18,432 \u2192 12",
        "88.0 %",
        "pruning: left alone (bias)",
        "2,212 of 18,432 weights kept",
        "xz -9e",
        "took 61.4 s",
        "99.67 %",
        "12 \u2192 640",
        "kept within channels only",
        "0.99\u00d7 (0.97\u20131.02)",
        "16,832",
        "1.23 ms",
        "6.76 MiB",
        "pass with warning (starting up takes 1.2 ms longer)",
        "1 thread \u00b7 models timed in turns over 10 rounds",
    ):
        assert expected in shown, expected


def test_nothing_is_loaded_and_nothing_runs():
    page = render(sample_report())
    outline = Outline(page)
    names = {tag for tag, _ in outline.elements}
    assert not names & {"script", "iframe", "img", "object", "embed", "form", "base"}
    assert outline.tags("link") == [{"rel": "icon", "href": "data:,"}]
    assert "http" not in re.sub(r'http-equiv="', "", page)
    assert "url(" not in page
    assert "@import" not in page
    for _, attributes in outline.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert "src" not in attributes
    policy = outline.tags("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert "default-src 'none'" in policy["content"]


def test_tables_have_captions_and_scoped_headings():
    page = render(sample_report())
    outline = Outline(page)
    assert len(outline.tags("caption")) == len(outline.tags("table")) >= 6
    assert all(attributes.get("scope") in ("col", "row") for attributes in outline.tags("th"))
    pictures = outline.tags("svg")
    assert len(pictures) == 8
    assert all(picture["role"] == "img" for picture in pictures)
    assert page.count("<title>Before:") == page.count("<title>After:") == 4
    assert outline.tags("html") == [{"lang": "en"}]
    assert len(outline.tags("h1")) == len(outline.tags("main")) == 1


def test_widths_stay_within_their_track():
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", render(sample_report()))]
    assert max(widths) == 100
    assert min(widths) >= 0
    assert len(widths) > 20


HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'\x00\ud800\u202e"


def poisoned(value):
    if isinstance(value, dict):
        return {f"{key}": poisoned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_text_stays_text():
    report = poisoned(sample_report())
    report["settings"] = {HOSTILE: {HOSTILE: [HOSTILE, {"a": 1}]}}
    report["packed"]["compared"] = {HOSTILE: 5}
    page = render(report)
    outline = Outline(page)
    assert not outline.tags("script")
    assert not outline.tags("img")
    assert all(not any(name.startswith("on") for name in a) for _, a in outline.elements)
    assert "\x00" not in page
    page.encode()
    assert "alert(1)" in plain(page)


@pytest.mark.parametrize("part", list(sample_report())[1:])
def test_a_missing_part_leaves_the_rest(part):
    report = sample_report()
    report.pop(part, None)
    shown = plain(render(report))
    assert "Size, accuracy and latency side by side" in shown
    assert "None" not in shown
    assert "nan" not in shown.lower().split()


def test_what_is_missing_is_said():
    shown = plain(render({"schema_version": 1, "compressed": {"packed_bytes": 10}}))
    for sentence in (
        "not measured",
        "says nothing about single layers",
        "doesn't look into a packed file",
        "Settings: not in this report",
        "doesn't say that a converted model was run",
        "Time and duration are not stated",
    ):
        assert sentence in shown, sentence
    empty = plain(render({"schema_version": 1, "packed": {}, "layers": [{}]}))
    assert "holds no accuracy, size or latency" in empty
    assert "lists no tensors" in empty
    assert "holds no weight histograms" in empty


def test_zero_sizes_and_counts():
    report = sample_report()
    for stage in (*report["stages"], report["baseline"], report["compressed"]):
        stage.update(tflite_bytes=0, packed_bytes=0, latency_ms=0, accuracy=0)
    for layer in report["layers"]:
        layer.update(weights=0, zeros=0, sparsity=None, shape=[])
        layer["after"] = {"histogram": {"low": -1, "high": 1, "counts": [0, 0]}}
    report["packed"].update(original_size=0, packed_size=0, compared={}, tensors=[{}])
    Outline(render(report))


def test_very_many_layers_are_cut_and_said():
    report = sample_report()
    report["layers"] = [report["layers"][0]] * 230
    assert "30 more layers are in the JSON" in plain(render(report))


def test_the_type_of_a_packed_tensor_is_shown():
    report = sample_report()
    report["packed"]["tensors"][0]["dtype"] = "uint4"
    assert "uint4" in plain(render(report))


def test_a_bad_packed_part_is_named():
    report = sample_report()
    report["packed"]["tensors"][1]["count"] = -1
    with pytest.raises(KerasCompressError, match=r"packed.tensors\[1\].count"):
        render(report)


def test_same_report_same_page():
    assert render(sample_report()) == render(json.loads(json.dumps(sample_report())))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formatting.byte_count(0), "0 B"),
        (formatting.byte_count(999), "999 B"),
        (formatting.byte_count(9_120), "9.12 kB"),
        (formatting.byte_count(343_520), "344 kB"),
        (formatting.byte_count(1_724_320), "1.72 MB"),
        (formatting.byte_count(None), "\u2013"),
        (formatting.milliseconds(0.0521), "52.1 \u00b5s"),
        (formatting.milliseconds(12.34), "12.3 ms"),
        (formatting.ratio(1.0 / 3), "0.33\u00d7"),
        (formatting.ratio(123.4), "123\u00d7"),
        (formatting.change_in_points(0.9, 0.9), "no change"),
        (formatting.change_in_points(0.9, 0.91), "\u22121.00 points"),
        (formatting.seconds(61.4), "61.4 s"),
        (formatting.seconds(600), "10.0 min"),
    ],
)
def test_formatting(shown, expected):
    assert shown.replace("\u00a0", " ") == expected
