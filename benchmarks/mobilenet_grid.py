"""Latency of MobileNet v1 at four widths and four sizes in LiteRT, beside its multiplications.

All nets of a precision run in turns in one process, on one thread. Weights are random.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from interleaved_latency import interleaved_latency

RESULTS = Path(__file__).parent / "results" / "mobilenet_grid.json"
PRECISIONS = ("float32", "int8")
WIDTHS, SIDES = (0.25, 0.5, 0.75, 1.0), (128, 160, 192, 224)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    args = parser.parse_args()

    from keras_compress.architectures import mobilenet
    from keras_compress.engine.profile import profile
    from keras_compress.exporter import convert

    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for precision in args.precisions:
        files = {}
        for width in WIDTHS:
            for side in SIDES:
                name, model = f"{width:g}-{side}", mobilenet((side, side, 3), width=width)
                one = np.random.default_rng(0).random((1, side, side, 3), dtype="float32")
                data = one if precision == "int8" else None
                files[name] = convert(
                    model, precision=precision, representative_data=data, verify=False
                ).tflite
                row = found.setdefault(name, {})
                row |= {"macs": profile(model).macs, "parameters": profile(model).parameters}
        for name, row in interleaved_latency(files, rounds=args.rounds).items():
            found[name][precision] = row
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    tell(found)


def tell(found: dict[str, dict]) -> None:
    print("| net | MACs, M | float32, ms | GMAC/s | int8, ms | GMAC/s |\n|---|---|---|---|---|---|")
    for name, row in found.items():
        cells = []
        for precision in PRECISIONS:
            best = row[precision]["best_us"] if precision in row else float("nan")
            cells += [f"{best / 1000:.2f}", f"{row['macs'] / best / 1000:.0f}"]
        print(f"| {name} | {row['macs'] / 1e6:.1f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
