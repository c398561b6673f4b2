"""The journal of a search: results on the disk, so that a search that was stopped goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from keras_compress.errors import KerasCompressError
from keras_compress.storage import Origins, read_file, write_atomic

__all__ = ["Journal", "setting_key"]

_FORMAT = "keras_compress.search/1"
_LARGEST_FILE = 1 << 26


class Journal:
    """Settings and their results, one a line of JSON, behind a first line that says of what.

    The file is replaced as a whole after each result, so it's never found half-written. It has one
    writer: the process that began the search.

    Example:

    ```python
    journal = search.Journal("search.jsonl", search.fingerprint({"epochs": 3}))
    journal.record({"rate": 0.5}, 0.91)
    journal.get({"rate": 0.5})  # 0.91
    ```

    Args:
        path: The file; read if it is there. `None` keeps the results in memory.
        fingerprint: What is searched, as `search.fingerprint` gives it.
        check: Called with a setting and a result that were read; raises `ValueError`, `TypeError`
            or `KeyError` if they can't be of this search. Defaults to `None`.
        made_from: As in `storage.open_atomic`: files that the results give away.
            Defaults to `None`.

    Raises:
        KerasCompressError: If the file is of another search, damaged, or over 64 MiB.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        fingerprint: str,
        *,
        check: Callable[[Any, Any], object] | None = None,
        made_from: Origins = None,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.fingerprint = fingerprint
        self._made_from = made_from
        self._lines: dict[str, str] = {}
        self._results: dict[str, Any] = {}
        if self.path is not None and self.path.exists():
            self._read(check)

    def __contains__(self, setting: object) -> bool:
        return setting_key(setting) in self._results

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Iterate over `(setting, result)`, in the order they were recorded."""
        return ((json.loads(key), result) for key, result in self._results.items())

    def get(self, setting: object, default: object = None) -> Any:
        """Return the result of `setting`, or `default` if there is none yet."""
        return self._results.get(setting_key(setting), default)

    def record(self, setting: object, result: object) -> Any:
        """Keep the result of `setting`, in the file too; return it as it will be read again.

        Args:
            setting: A value that `json.dumps` takes.
            result: Likewise.

        Raises:
            KerasCompressError: If one is not, or the file can't be written.
        """
        key = setting_key(setting)
        try:
            text = json.dumps(result)
        except (TypeError, ValueError) as error:
            raise KerasCompressError(
                f"A journal keeps what JSON can hold. Received: the result of {key[:80]} "
                f"({error}). Return numbers, texts, lists and dicts."
            ) from error
        self._lines[key] = f'{{"setting": {key}, "result": {text}}}'
        self._results[key] = json.loads(text)
        if self.path is not None:
            head = json.dumps({"format": _FORMAT, "fingerprint": self.fingerprint})
            data = "\n".join([head, *self._lines.values()]) + "\n"
            write_atomic(self.path, data, made_from=self._made_from)
        return self._results[key]

    def _read(self, check: Callable[[Any, Any], object] | None) -> None:
        text = read_file(self.path, limit=_LARGEST_FILE)  # type: ignore[arg-type]
        try:
            head, *lines = text.decode().splitlines()
            first = json.loads(head)
            if first["format"] != _FORMAT:
                raise ValueError("another format")
            if not text.endswith(b"\n"):
                raise ValueError("cut off")
            known = first["fingerprint"] == self.fingerprint
            # What belongs to another search is not this one's to judge.
            for line in lines if known else ():
                entry = json.loads(line)
                setting, result = entry.pop("setting"), entry.pop("result")
                key = setting_key(setting)
                if entry or key in self._results:
                    raise ValueError("a line with more than it holds, or twice")
                if check is not None:
                    check(setting, result)
                self._lines[key], self._results[key] = line, result
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise KerasCompressError(
                f"A search goes on from a journal that a search wrote. Received: {self.path}, "
                "which is none or is damaged. Delete it or choose another path."
            ) from error
        if not known:
            raise KerasCompressError(
                "A search goes on with the model, data and settings it began with. Received: "
                f"{self.path}, the journal of others. Delete it or choose another path."
            )


def setting_key(setting: object) -> str:
    """Return the text that a setting is known by.

    Raises:
        KerasCompressError: If JSON can't hold it.
    """
    try:
        return json.dumps(setting, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise KerasCompressError(
            f"A setting is what JSON can hold. Received: {setting!r:.80} ({error})."
        ) from error
