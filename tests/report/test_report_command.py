"""`keras-compress report`: one page for one report, and one line for what is no report."""

from __future__ import annotations

import json

import pytest

from keras_compress.cli.main import main
from keras_compress.report import LARGEST_REPORT, render
from tests.report.sample_report import sample_report


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(sample_report()), encoding="utf-8")
    return path


def test_the_page_lies_beside_the_report(report, capsys):
    assert main(["report", str(report)]) == 0
    page = report.with_suffix(".html")
    assert page.read_text(encoding="utf-8") == render(sample_report())
    assert capsys.readouterr().out == f"{page} ({page.stat().st_size:,} bytes)\n"


def test_a_page_that_is_there_is_replaced_by_force_alone(report, capsys):
    page = report.with_suffix(".html")
    page.write_text("old")
    assert main(["report", str(report)]) == 1
    assert "--force" in capsys.readouterr().err and page.read_text() == "old"
    assert main(["report", str(report), "--force"]) == 0
    assert page.read_text(encoding="utf-8") == render(sample_report())


def test_json_and_out(report, tmp_path, capsys):
    target = tmp_path / "below" / "page.html"
    assert main(["report", str(report), "--out", str(target), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"report": str(report), "page": str(target), "bytes": target.stat().st_size}


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"{", b"\x00TFL3", b'{"schema_version": 9}', b'{"schema_version": 1}'],
)
def test_what_is_no_report_is_one_line(report, content, capsys):
    page = report.with_suffix(".html")
    page.write_text("old")
    report.write_bytes(content)
    assert main(["report", "-f", str(report)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("keras-compress: error: ")
    assert captured.err.count("\n") == 1
    assert page.read_text() == "old"


def test_files_that_are_missing_too_large_or_in_the_way(report, tmp_path, capsys):
    assert main(["report", str(tmp_path / "none.json")]) == 1
    assert main(["report", str(tmp_path)]) == 1
    assert main(["report", str(report), "--out", str(report)]) == 1
    assert "can't take the place" in capsys.readouterr().err
    assert main(["report", str(report), "--out", str(report / "page.html")]) == 1
    with report.open("r+b") as file:
        file.truncate(LARGEST_REPORT + 1)
    assert main(["report", str(report)]) == 1
    assert "at most 67108864 bytes" in capsys.readouterr().err


def test_wrong_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["report"])
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        main(["report", "--help"])
    assert caught.value.code == 0
    assert "--json" in capsys.readouterr().out
