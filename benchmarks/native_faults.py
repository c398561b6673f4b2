"""Small faults that can be planted in the C++ sources, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from python_faults import Fault

# The sources are formatted: a comparison or an operator stands between spaces.
_SWAPS = {
    " < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > ", " == ": " != ", " != ": " == ",
    " && ": " || ", " || ": " && ", " + ": " - ", " - ": " + ", " << ": " >> ", " >> ": " << ",
    "return false;": "return true;", "return true;": "return false;", "std::min": "std::max",
    "std::max": "std::min", "++": "--", " += ": " -= ", " -= ": " += ", " & ": " | ",
}  # fmt: skip
_TOKEN = re.compile("|".join(map(re.escape, sorted(_SWAPS, key=len, reverse=True))))
_NUMBER = re.compile(r"(?<![\w.'])(\d{1,4})(?![\w.'])")
_CALL = re.compile(r"^\s+[\w:.>\-\[\]]+\([^;{}]*\);\s*$")
_SKIPPED = re.compile(r"^\s*(#|//|\*|/\*|template|using|namespace|static_assert|public:|private:)")


def faults_in(source: str) -> Iterator[Fault]:
    """Every fault for `source`; comments, texts and the preprocessor's lines are left alone."""
    lines = source.split("\n")
    for i, line in enumerate(lines):
        if _SKIPPED.match(line) or '"' in line:
            continue
        code = line.split("//")[0]
        changes = [
            (m.start(), m.end(), _SWAPS[m.group()]) for m in _TOKEN.finditer(code)
        ]  # fmt: skip
        changes += [(m.start(), m.end(), str(int(m[1]) + 1)) for m in _NUMBER.finditer(code)]
        if _CALL.match(code) and "return" not in code:
            changes.append((0, len(code), ""))
        for start, end, text in changes:
            after = line[:start] + text + line[end:]
            whole = "\n".join([*lines[:i], after, *lines[i + 1 :]])
            yield Fault(i + 1, i + 1, line.strip(), after.strip(), whole, source)
