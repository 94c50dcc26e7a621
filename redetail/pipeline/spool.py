"""Crops on disk: what a pass leaves for the next one without keeping it in memory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from redetail.engines.base import Pixels
from redetail.errors import OutputError

# Two bytes a value: rounding to 1/65535 is 128 times finer than an 8-bit frame can show.
_LEVELS = np.float32(65535)


class CropStore:
    """(F, h, w, 3) crops of one region in a file; read and written by frame ranges as float32 0..1."""

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        self.path, self.shape = path, shape
        self._frame_bytes = 2 * shape[1] * shape[2] * shape[3]
        path.touch()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> Pixels:
        """The crop of one frame, (h, w, 3)."""
        crop: Pixels = self.read(index, index + 1)[0]
        return crop

    def read(self, start: int, stop: int) -> Pixels:
        """Frames start..stop as a new array."""
        count = (stop - start) * self._frame_bytes // 2
        values = np.fromfile(self.path, dtype=np.uint16, count=count, offset=start * self._frame_bytes)
        return values.reshape(stop - start, *self.shape[1:]).astype(np.float32) / _LEVELS

    def write(self, start: int, crops: Pixels) -> None:
        """Put crops (n, h, w, 3) at frames start..start+n; OutputError when the disk is full."""
        values = np.rint(np.clip(crops, 0, 1) * _LEVELS).astype(np.uint16)
        # A plain file, not a memory map: a full disk is then an error to report instead of a bus error.
        try:
            with self.path.open("r+b") as file:
                file.seek(start * self._frame_bytes)
                file.write(values.tobytes())
        except OSError as error:
            raise OutputError(
                f"The temporary crops cannot be written to {self.path.parent} ({error.strerror}); set TMPDIR to a "
                "folder with more space."
            ) from error


class Spool:
    """A temporary folder of crop stores; everything in it is gone when the context ends.

    ``shapes`` are the (F, h, w, 3) of the stores to come: raises :class:`~redetail.errors.OutputError` at once
    where they do not fit on the disk, rather than after an hour.
    """

    def __init__(self, shapes: Sequence[tuple[int, int, int, int]], folder: Path | None = None) -> None:
        self._parent = Path(folder or tempfile.gettempdir())
        needed = sum(int(np.prod(shape, dtype=np.int64)) * 2 for shape in shapes)
        free = shutil.disk_usage(self._parent).free
        if needed > free:
            raise OutputError(
                f"The crops of this clip need {_gigabytes(needed)} of temporary space, but {self._parent} has only "
                f"{_gigabytes(free)} free; set TMPDIR to a larger disk, or detail a part with --start and --end."
            )
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="redetail-", dir=self._parent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def drop(self, store: CropStore) -> None:
        """Give the space of a store back before the spool ends."""
        store.path.unlink(missing_ok=True)

    def store(self, name: str, shape: tuple[int, int, int, int]) -> CropStore:
        """A new store of that shape, filled with zeros."""
        if self._folder is None:
            raise RuntimeError("a spool is used inside its with statement")
        return CropStore(self._folder / f"{name}.crops", shape)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
