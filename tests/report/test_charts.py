"""What the figures of the page show: places, heights, lengths, colours and order."""

from __future__ import annotations

import html
import re

import pytest

from keras_compress.report import render
from keras_compress.report.charts import Bar, bar_chart, histogram_chart, meter
from keras_compress.report.document import Histogram
from keras_compress.report.tables import flatten
from tests.report.sample_report import sample_report

BAR = re.compile(r'class="bar (\w+)" style="width:([\d.]+)%"')


def figure(low, high, counts):
    return str(histogram_chart("Before", Histogram(low, high, counts), tone="before", note=""))


def section(page, title, end="</figure>"):
    return page.split(title, 1)[1].split(end, 1)[0]


def shown(markup):
    text = html.unescape(re.sub(r"<[^>]+>", "|", markup)).replace("\u00a0", " ")
    return [part for part in text.split("|") if part.strip()]


@pytest.mark.parametrize(("low", "high", "place"), [(-1.0, 3.0, 250), (-3.0, 1.0, 750)])
def test_the_line_of_zero_stands_where_zero_is(low, high, place):
    drawn = figure(low, high, (1, 1))
    assert f'd="M{place}.0 0v100"' in drawn
    ends = section(drawn, 'class="ends"', "</figure>")
    assert shown(ends)[-3:] == [f"{low:g}", "0", f"{high:g}"]


@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (1.0, 2.0), (-2.0, 0.0), (-2.0, -1.0)])
def test_there_is_no_line_where_zero_is_no_place_within(low, high):
    drawn = figure(low, high, (1, 1))
    assert 'class="zero"' not in drawn
    assert shown(section(drawn, 'class="ends"'))[-2:] == [f"{low:g}", f"{high:g}"]


def test_bars_stand_on_the_ground_as_high_as_the_root_of_their_count():
    drawn = figure(-1.0, 1.0, (100, 0, 25, 1))
    bars = re.findall(r"M([\d.]+) (\d+)v-([\d.]+)h([\d.]+)v([\d.]+)z", drawn)
    assert [float(bar[2]) for bar in bars] == [100.0, 50.0, 10.0]
    assert all(bar[1] == "100" and bar[2] == bar[4] and bar[3] == "220.0" for bar in bars)
    assert [float(bar[0]) for bar in bars] == [15.0, 515.0, 765.0]
    assert "126 nonzero weights from -1 to 1, in 3 of 4 bins; the fullest holds 100" in drawn
    tiny = figure(-1.0, 1.0, (1_000_000, 1))
    assert "v-1.5h" in tiny


def test_bars_are_as_long_as_their_values_from_one_zero():
    bars = [Bar("a", 50.0, "50", behind=200.0), Bar("b", 0.0, "0", tone="shipped")]
    drawn = BAR.findall(str(bar_chart("Title", "", bars)))
    assert drawn == [("behind", "100.00"), ("stage", "25.00"), ("none", "0.00")]
    assert BAR.findall(str(meter(0.25))) == [("stage", "25.00")]


def test_the_chart_of_bytes_shows_packed_before_unpacked_and_which_is_shipped():
    page = str(render(sample_report()))
    chart = section(page, "Bytes on disk")
    drawn = BAR.findall(chart)
    assert [tone for tone, _ in drawn][::2] == ["behind"] * 4
    assert [tone for tone, _ in drawn][1::2] == ["baseline", "stage", "shipped", "stage"]
    widths = [float(width) for _, width in drawn]
    sizes = [343_520, 318_204, 343_520, 33_410, 343_520, 9_120, 92_184, 10_540]
    assert widths == pytest.approx([100 * size / 343_520 for size in sizes], abs=0.01)
    ratios = re.findall(r"<small>([\d.]+)\u00d7</small>", chart)
    assert ratios == ["1.08", "10.3", "37.7", "32.6"]
    report = sample_report()
    report["stages"][2]["shipped"], report["stages"][3]["shipped"] = False, True
    tones = [tone for tone, _ in BAR.findall(section(str(render(report)), "Bytes on disk"))][1::2]
    assert tones[3] == "shipped"


@pytest.mark.parametrize(
    ("accuracy", "tone"), [(0.995, "good"), (0.9911, "good"), (0.985, "accent"), (0.95, "bad")]
)
def test_a_loss_of_accuracy_has_its_colour(accuracy, tone):
    report = sample_report()
    report["compressed"]["accuracy"] = accuracy
    head = section(str(render(report)), 'class="headline"', "</ul>")
    assert f'<li class="{tone}"><span class="soft">Accuracy' in head


def test_the_speed_is_the_baselines_time_over_the_models():
    report = sample_report()
    report["baseline"]["latency_ms"], report["compressed"]["latency_ms"] = 4.0, 2.0
    head = section(str(render(report)), 'class="headline"', "</ul>")
    assert "2.00\u00d7 as fast" in head


def test_the_packed_file_is_shown_by_its_largest_parts():
    report = sample_report()
    tensor = report["packed"]["tensors"][0]
    report["packed"]["tensors"] = [
        {**tensor, "name": f"m/{i}/k", "packed_bytes": 100.0 * (i + 1)} for i in range(8)
    ]
    report["packed"].update(packed_size=4_840, skeleton_packed=1_204, header_size=36)
    chart = section(str(render(report)), "What takes the bytes")
    names = re.findall(r'class="bar-label">([^<]+)<', chart)
    assert names[:7] == ["7/k", "6/k", "5/k", "4/k", "3/k", "2/k", "2 smaller tensors"]
    assert "300\u00a0B" in chart
    assert names[7:] == ["Graph (skeleton)", "Header, checksums"]
    report["packed"]["packed_size"] = 10_000
    untold = section(str(render(report)), "What takes the bytes")
    assert re.findall(r'class="bar-label">([^<]+)<', untold)[0] == "Constants, not told apart"
    assert "5.16\u00a0kB" in untold


def test_zeros_and_ratios_of_the_packed_file_and_others_from_the_smallest():
    page = str(render(sample_report()))
    assert "343,520 bytes of .tflite in 9,120 bytes, 37.7\u00d7 smaller" in page
    table = section(page, "<caption><span>Constants of the .tflite", "</table>")
    row = section(table, "conv1_1/MatMul", "</tr>")
    assert "29.9\u00a0%" in row
    others = section(page, "Beside other compressors")
    names = re.findall(r'class="bar-label">([^<]+)<', others)
    assert names == ["keras-compress", "xz -9e", "zstd -19", "gzip -9"]


def test_timings_mark_what_is_shipped_and_bound_a_ratio_by_both_ends():
    page = str(render(sample_report()))
    table = section(page, "One inference.", "</table>")
    marked = re.findall(r'<tr class="marked"><th scope="row"><bdi>([^<]+)<', table)
    assert marked == ["Pruned, shared values"]
    report = sample_report()
    del report["bench"]["models"][2]["comparison"]["latency_ratio_low"]
    assert "0.99\u00d7<" in section(str(render(report)), "One inference.", "</table>")
    report["bench"]["settings"]["num_threads"] = 4
    assert "4 threads" in str(render(report))


def test_checks_name_the_worst_output_and_leave_out_what_had_nothing_to_lose():
    report = sample_report()
    report["verification"]["int8"]["outputs"].append({"name": "b", "mean_abs_error": 0.5})
    table = section(str(render(report)), "beside the Keras model it came from", "</table>")
    assert "0.5" in shown(table)
    weights = report["preservation"]["clustered"]["weights"]
    weights.append({**weights[0], "weight": "pruned/kernel", "sharing": "none", "zeros": "kept"})
    page = str(render(report))
    assert "pruned/kernel" in page
    assert "conv1/bias" not in section(page, "What was checked", "<h2>")


def test_facts_are_cut_after_two_hundred_and_lists_after_fifty():
    pairs = flatten({f"n{i}": i for i in range(203)})
    assert len(pairs) == 201
    assert pairs[199:] == [("n199", "199"), ("left out here", "3 more, in the JSON")]
    assert len(flatten({f"n{i}": i for i in range(200)})) == 200
    ((_, listed),) = flatten({"list": list(range(60))})
    assert listed.split(", ") == [str(i) for i in range(50)]
