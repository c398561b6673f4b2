"""An opened packed file: restored in pieces, by several threads, or one tensor at a time."""

from __future__ import annotations

import ctypes
import os
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from keras_compress import storage
from keras_compress.errors import KerasCompressError
from keras_compress.packing import native, native_structures
from keras_compress.packing.file_pieces import FilePieces
from keras_compress.packing.interruption import interruptible, run_sections, turn

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PackedFile", "PackedTensor", "open_packed"]


@dataclass(frozen=True)
class PackedTensor:
    """One constant tensor of a packed model.

    Attributes:
        name: Name of the first tensor that uses the buffer.
        dtype: Its TFLite type, such as `"int8"`.
        shape: Its shape.
        offset: Where its bytes stand in the original file.
        size: Bytes in the original file.
        part: Of a bundle (`.task`, `.litertlm`), the model it belongs to; `""` of a `.tflite`.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int
    part: str = ""

    @property
    def full_name(self) -> str:
        """`part/name` in a bundle, else the name."""
        return f"{self.part}/{self.name}" if self.part else self.name


class PackedFile:
    """A packed file of which only header, plan and graph were read; made by `open_packed`.

    Several threads may read from one opened file; they take turns.

    Attributes:
        original_size: Bytes of the original.
        packed_size: Bytes of the packed file.
    """

    def __init__(
        self,
        source: native_structures.Source,
        keep: object,
        max_size: int | None,
        base: bytes | None = None,
    ) -> None:
        # `keep` holds what the source's addresses point at.
        self._keep, self._source, self._base = keep, source, base
        # Reading and restoring leave notes in the opened file: threads take turns. So does closing
        # it: nobody's native call may still be at work then.
        self._turn = threading.Lock()
        self._handle: ctypes.c_void_p | None = None
        self._tensors: tuple[PackedTensor, ...] | None = None
        summary = interruptible(lambda: self._open(max_size))
        self.original_size: int = summary.original_size
        self.packed_size: int = summary.packed_size
        self._sections: int = summary.sections
        self._summary = summary

    def _open(self, max_size: int | None) -> native_structures.Summary:
        handle, base = ctypes.c_void_p(), self._base
        summary, error = native_structures.Summary(), native_structures.NativeError()
        status = native.library().kc_file_open_patch(
            ctypes.byref(self._source), base, 0 if base is None else len(base), max_size or 0,
            ctypes.byref(handle), ctypes.byref(summary), ctypes.byref(error),
        )  # fmt: skip
        self.check(status, error, limit=max_size)
        self._handle = handle
        if max_size == 0 and summary.original_size:
            error.value = summary.original_size
            native.check(native.ERROR_LIMIT, error, limit=0)
        return summary

    def __enter__(self) -> PackedFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Free what was read, and close the file; what other threads read of it now comes first."""
        if not hasattr(self, "_turn"):
            return
        with self._turn:
            handle, self._handle = self._handle, None
            if handle is not None:
                native.library().kc_file_close(handle)
            if isinstance(self._keep, FilePieces):
                self._keep.close()

    def check(
        self, status: int, error: native_structures.NativeError, *, limit: int | None = None
    ) -> None:
        """Raise what a status says, or what went wrong in reading or writing."""
        if isinstance(self._keep, FilePieces):
            self._keep.raise_failure()
        native.check(status, error, limit=limit)

    @property
    def tensors(self) -> tuple[PackedTensor, ...]:
        """The constant tensors of the model, in file order; nothing of them is decoded."""
        if self._tensors is None:
            self._tensors = interruptible(self._read_tensors)
        return self._tensors

    def tensor(self, name_or_index: str | int) -> np.ndarray:
        """Return one tensor as a NumPy array, decoding only the sections that hold it.

        Types that NumPy does not know (int4, bfloat16, strings ...) come as their bytes: a
        `uint8` array of one dimension.

        Args:
            name_or_index: The tensor's name, in a bundle as `part/name` where several parts have
                one of that name; or its place in `tensors`.

        Raises:
            KerasCompressError: If there is no such tensor.
            PackedFileError: If a section that holds it is damaged.
        """
        import numpy as np

        tensor = self._find(name_or_index)

        def work() -> Any:
            room = np.empty(tensor.size, np.uint8)
            self._read_into(tensor.offset, tensor.size, room.ctypes.data)
            return room

        data = interruptible(work)
        count = 1
        for dimension in tensor.shape:
            count *= dimension
        width = native.TYPES_OF_NUMPY.get(tensor.dtype)
        if width is None or count * width != tensor.size:
            return data
        return data.view(np.dtype(tensor.dtype).newbyteorder("<")).reshape(tensor.shape)

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes of the original from `offset` on.

        Raises:
            KerasCompressError: If the original has no such bytes.
            PackedFileError: If a section that holds some of them is damaged.
        """
        if offset < 0 or size < 0 or offset + size > self.original_size:
            raise KerasCompressError(
                f"Only bytes of the original, {self.original_size} of them, can be read. "
                f"Received: {offset=}, {size=}."
            )

        def work() -> bytes:
            result, address = native.fresh_bytes(size)
            self._read_into(offset, size, address)
            return result

        return interruptible(work)

    def restore(
        self,
        *,
        memory: int | None = None,
        sink: native_structures.Sink | None = None,
        threads: int = 1,
    ) -> None:
        """Restore everything into `memory` (an address), to `sink`, or nowhere as a check."""
        interruptible(lambda: self._restore(memory, sink, threads))

    def _restore(
        self, memory: int | None, sink: native_structures.Sink | None, threads: int
    ) -> None:
        library = native.library()

        def work(section: int) -> None:
            error = native_structures.NativeError()
            status = library.kc_file_section(
                self._opened(), section, memory, None if sink is None else ctypes.byref(sink),
                ctypes.byref(error),
            )  # fmt: skip
            self.check(status, error)

        with turn(self._turn):
            run_sections(self._sections, work, threads)
            error = native_structures.NativeError()
            self.check(library.kc_file_finish(self._opened(), ctypes.byref(error)), error)

    def describe(
        self, extents: ctypes.Array[native_structures.Extent]
    ) -> native_structures.Summary:
        """Fill `extents` with what is known of the coded parts; what was decoded has its bits."""
        with turn(self._turn):
            native.library().kc_file_extents(self._opened(), extents, len(extents))
        return self._summary

    def _opened(self) -> ctypes.c_void_p:
        if self._handle is None:
            raise KerasCompressError(
                "Only an open packed file can be read. Received: one that was closed."
            )
        return self._handle

    def _find(self, name_or_index: str | int) -> PackedTensor:
        if isinstance(name_or_index, str):
            for tensor in self.tensors:
                if tensor.full_name == name_or_index:
                    return tensor
            found = [tensor for tensor in self.tensors if tensor.name == name_or_index]
            if len({tensor.part for tensor in found}) > 1:
                raise KerasCompressError(
                    "A tensor's name must stand for one tensor. Received: "
                    f"{name_or_index!r}, of {', '.join(t.full_name for t in found[:5])}."
                )
            if found:
                return found[0]
        elif 0 <= name_or_index < len(self.tensors):
            return self.tensors[name_or_index]
        names = ", ".join(tensor.full_name for tensor in self.tensors[:5])
        raise KerasCompressError(
            f"`tensor` takes the name or the index of one of {len(self.tensors)} tensors "
            f"({names} ...). Received: {name_or_index!r}."
        )

    def _read_into(self, offset: int, size: int, address: int) -> None:
        error = native_structures.NativeError()
        with turn(self._turn):
            status = native.library().kc_file_read(
                self._opened(), offset, size, address, ctypes.byref(error)
            )
            self.check(status, error)

    def _read_tensors(self) -> tuple[PackedTensor, ...]:
        library, count, error = native.library(), ctypes.c_size_t(), native_structures.NativeError()
        with turn(self._turn):
            status = library.kc_file_tensors(
                self._opened(), None, 0, ctypes.byref(count), ctypes.byref(error)
            )
            if status == native.ERROR_MALFORMED:
                return ()  # packed bytes that are no model
            self.check(status, error)
            found = (native_structures.Tensor * count.value)()
            status = library.kc_file_tensors(
                self._opened(), found, count.value, ctypes.byref(count), ctypes.byref(error)
            )
            self.check(status, error)
        parts = self._read_parts()
        return tuple(
            PackedTensor(
                name=self.read(t.name_offset, t.name_size).decode("utf-8", "replace"),
                dtype=native.type_name(t.type),
                shape=tuple(t.shape[: t.rank]),
                offset=t.offset,
                size=t.size,
                part=parts.at(t.offset),
            )
            for t in found
        )

    def _read_parts(self) -> native.PartNames:
        library, count, error = native.library(), ctypes.c_size_t(), native_structures.NativeError()
        counted, failed = ctypes.byref(count), ctypes.byref(error)
        with turn(self._turn):
            self.check(library.kc_file_parts(self._opened(), None, 0, counted, failed), error)
            found = (native_structures.Part * count.value)()
            status = library.kc_file_parts(self._opened(), found, count.value, counted, failed)
            self.check(status, error)
        return native.PartNames(found, self.read)


def open_packed(
    data_or_path: bytes | str | os.PathLike[str],
    *,
    max_size: int | None = None,
    base: bytes | None = None,
) -> PackedFile:
    """Open a packed file to read single tensors of it.

    Example:

    ```python
    with keras_compress.open_packed("model.kcz") as packed:
        kernel = packed.tensor(packed.tensors[-1].name)
    ```

    Args:
        data_or_path: The bytes of a packed file, or its path. Of a file on disk only what is asked
            for is read.
        max_size: Largest original, in bytes, to accept. Defaults to `None`, which allows what the
            packed file's size makes plausible.
        base: The bytes of the file that a patch was made for. Defaults to `None`.

    Raises:
        PackedFileError: If header, plan or graph are damaged.
        KerasCompressError: If the file can't be read, or `max_size` is below 0.
    """
    if max_size is not None and max_size < 0:
        raise KerasCompressError(f"`max_size` must be 0 or more bytes. Received: {max_size}.")
    if not isinstance(data_or_path, bytes) and not storage.is_regular(data_or_path):
        data_or_path = storage.read_file(data_or_path)  # of a pipe there are no pieces
    if isinstance(data_or_path, bytes):
        source = native_structures.Source()
        # An empty `bytes` has an address as well, and a null one would mean a function to call.
        source.data = ctypes.cast(ctypes.c_char_p(data_or_path), ctypes.c_void_p)
        source.size = len(data_or_path)
        return PackedFile(source, data_or_path, max_size, base)
    pieces = FilePieces(data_or_path)
    try:
        return PackedFile(pieces.source(), pieces, max_size, base)
    except BaseException:
        pieces.close()
        raise
