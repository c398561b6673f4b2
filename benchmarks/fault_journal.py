"""The journal of planted faults: what was tried, what saw it, and the scores as a table."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class Journal:
    """What was tried, kept in a file after each fault.

    The file is read again before each change: a `why` may be written by hand meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Any] = {}
        self._read()

    def wants(self, key: str, again: str | None) -> bool:
        """Whether the fault is to be tried: not yet tried, or unseen and asked for by `again`."""
        if again is None:
            return key not in self.rows
        row = self.rows.get(key, {})
        return again in key and row.get("state") == "passed" and "why" not in row

    def save(self, key: str, **row: Any) -> None:
        self._read()
        if key in self.rows:
            row["at_first"] = self.rows[key].get("at_first", self.rows[key]["state"])
        self.rows[key] = row
        self._write()
        print(f"{row['state']:>14}  {key}", flush=True)

    def remove(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        self._read()
        for key in keys:
            print(f"{'taken out':>14}  {key}")
            del self.rows[key]
        self._write()

    def _read(self) -> None:
        if self.path.exists():
            self.rows = json.loads(self.path.read_text())

    def _write(self) -> None:
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.rows, indent=1) + "\n")
        partial.replace(self.path)

    def table(self) -> str:
        parts: dict[str, list[Any]] = defaultdict(list)
        for row in self.rows.values():
            if row["state"] != "does not build":
                parts[row["part"]].append(row)
                parts["all"].append(row)
        lines = [
            "| part | faults | seen at first | seen | unseen, equivalent | unseen "
            "| seen of the others |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        for part in sorted(parts, key=lambda name: (name == "all", name)):
            rows = parts[part]
            seen = sum(row["state"] != "passed" for row in rows)
            same = sum(row["state"] == "passed" and "why" in row for row in rows)
            others = len(rows) - same
            share = f"{100 * seen / others:.0f} %" if others else "-"
            first = sum(row.get("at_first", row["state"]) != "passed" for row in rows)
            cells = (part, len(rows), first, seen, same, others - seen, share)
            lines.append(f"| {' | '.join(map(str, cells))} |")
        return "\n".join(lines)
