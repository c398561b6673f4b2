"""`architectures`: every net counted, exported, packed and timed."""

from __future__ import annotations

import json

import pytest

from keras_compress.cli.main import main
from keras_compress.errors import KerasCompressError
from keras_compress.recipes import architecture_names, architecture_table, plot_architectures


def test_counts_are_those_of_the_papers():
    # arXiv 1704.04861, table 8: 0.47 M parameters at x0.25; arXiv 1602.07360: 1,248,424.
    rows = architecture_table(
        (224, 224, 3), classes=1000, only=["mobilenet x0.25", "squeezenet 1.0"], measure=False
    )
    assert {row.name: row.parameters for row in rows} == {
        "mobilenet x0.25": 475_544,
        "squeezenet 1.0": 1_248_424,
    }
    # Fewest multiply-accumulates first; 41 M at x0.25.
    assert [row.name for row in rows] == ["mobilenet x0.25", "squeezenet 1.0"]
    assert round(rows[0].macs / 1e6) == 41
    assert rows[0].int8_bytes is None


def test_a_net_measured():
    (row,) = architecture_table((16, 16, 3), only=["resnet8"], min_secs=0.01)
    assert row.parameters == 78_666 and not row.left_out
    assert row.packed_bytes < row.int8_bytes < 0.4 * row.float32_bytes
    assert row.float32_bytes > 4 * 77_000
    assert 0 < row.int8_ms < 1000 and 0 < row.float32_ms < 1000


def test_small_images_have_forms_of_their_own():
    assert "resnet8" in architecture_names((32, 32, 3))
    assert "resnet8" not in architecture_names((96, 96, 3))
    assert len(architecture_names()) == 35


def test_the_command(capsys, tmp_path):
    plot = tmp_path / "nets.png"
    arguments = ["architectures", "--input", "32x32x3", "--only", "resnet8", "--count-only"]
    more = ["--only", "mobilenet x0.5", "--json", "--plot", str(plot)]
    assert main([*arguments, *more]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["input"] == [32, 32, 3]
    macs = [net["macs"] for net in found["nets"]]
    assert len(macs) == 2 and macs == sorted(macs)
    assert plot.read_bytes().startswith(b"\x89PNG")
    # What is there isn't replaced unasked.
    assert main([*arguments, "--plot", str(plot)]) == 1
    assert main([*arguments, "--plot", str(plot), "-f"]) == 0
    assert "resnet8" in capsys.readouterr().out


@pytest.mark.parametrize("shape", ["96x96", "0x9x3", "big", "96x96x3x1"])
def test_sizes_that_are_none(shape, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["architectures", "--input", shape])
    assert exit_.value.code == 2
    assert shape in capsys.readouterr().err


def test_nets_that_dont_fit_and_names_that_arent_there(tmp_path, capsys):
    assert main(["architectures", "--input", "6x6x3", "--only", "vgg16", "--count-only"]) == 0
    assert "16x16" in capsys.readouterr().out
    with pytest.raises(KerasCompressError, match="cifar_vgg16"):
        architecture_table((32, 32, 3), only=["alexnet"])
    with pytest.raises(KerasCompressError, match="height, width and channels"):
        architecture_table((32, 32))
    rows = architecture_table((32, 32, 3), only=["resnet8"], measure=False)
    with pytest.raises(KerasCompressError, match=r"\.png"):
        plot_architectures(rows, tmp_path / "nets.bmp")
    with pytest.raises(KerasCompressError, match="could be built"):
        plot_architectures([], tmp_path / "nets.png")
