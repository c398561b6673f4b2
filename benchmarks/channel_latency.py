"""Latency in LiteRT of CIFAR-10 nets at half their multiply-accumulates, beside the whole nets.

    python benchmarks/channel_latency.py --data FOLDER

The whole net and those cut in several ways run in turns in one process, on one thread. Channels go
by L1, without training: what is timed doesn't depend on the weights. "odd widths" leaves the same
share of each layer, however many channels that are.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import keras
from interleaved_latency import interleaved_latency
from rich.console import Console
from rich.table import Table

from keras_compress import KerasCompressError, channel_pruning
from keras_compress.exporter import convert

RESULTS = Path(__file__).parent / "results" / "channel_latency.json"
NETS = ("cifar10_resnet20", "cifar10_resnet56", "cifar10_shufflenetv2_x0_5")
CUTS = {
    "global, multiples of 8": {"round_to": 8},
    "uniform, multiples of 8": {"round_to": 8, "method": "uniform"},
    "uniform, multiples of 16": {"round_to": 16, "method": "uniform"},
    "uniform, odd widths": {"round_to": 1, "method": "uniform"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with load.py and models/")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=NETS)
    parser.add_argument("--share", type=float, default=0.5, help="of MACs that is left (0.5)")
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.data))
    import load

    (x, _), _ = load.cifar10()
    images = x[:100].astype("float32")
    table = Table(title=f"{arguments.share:g} of the MACs: time over that of the whole net")
    for heading in ("net", "cut", "MACs", "float32", "int8"):
        table.add_column(heading)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for net in arguments.nets:
        path = arguments.data / "models" / "cifar10_nets" / f"{net}.keras"
        models = {"whole": keras.saving.load_model(path, compile=False)}
        shares = {"whole": 1.0}
        for name, settings in CUTS.items():
            try:
                cut = channel_pruning.prune(models["whole"], arguments.share, **settings)
            except KerasCompressError as error:
                print(f"{net}, {name}: {error}")
                continue
            models[name] = cut.model
            shares[name] = cut.report.after["macs"] / cut.report.before["macs"]
        rows = {}
        for precision in ("float32", "int8"):
            data = images if precision == "int8" else None
            files = {
                name: convert(
                    model, precision=precision, representative_data=data, verify=False
                ).tflite
                for name, model in models.items()
            }
            rows[precision] = interleaved_latency(files, rounds=arguments.rounds)
        found[net] = {
            name: {"macs": round(shares[name], 3), **{p: rows[p][name] for p in rows}}
            for name in models
        }
        for name, row in found[net].items():
            table.add_row(
                net,
                name,
                f"{row['macs']:.3f}",
                f"{row['float32']['ratio']:.3f}",
                f"{row['int8']['ratio']:.3f}",
            )
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
