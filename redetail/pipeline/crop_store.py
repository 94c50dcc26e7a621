"""Stores crops on disk or in memory.

Each value takes two bytes: rounding to 1/65535 is 128 times finer than an 8-bit frame can show.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redetail.engines.base import Pixels
from redetail.errors import OutputError
from redetail.files import reason
from redetail.imaging import resample

Shape = tuple[int, int, int, int]

_BLOCK = 2**20
CHECKSUM_BYTES = 4


class StoredCrops(ABC):
    """Crops (F, h, w, 3) with 16 bits per value, read and written by ranges of frames as float32 0..1."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> Pixels:
        """The crop of one frame, (h, w, 3)."""
        crop: Pixels = self.read(index, index + 1)[0]
        return crop

    def read(self, start: int, stop: int) -> Pixels:
        """Frames start..stop as a new array."""
        return resample.to_float(self._levels(start, stop))

    def write(self, start: int, crops: Pixels) -> None:
        """Put crops (n, h, w, 3) at frames start..start+n."""
        self._keep(start, resample.from_float(crops, np.uint16))

    def release(self) -> None:
        """Free what reading holds in memory; the next read loads it again."""
        return

    @abstractmethod
    def _levels(self, start: int, stop: int) -> NDArray[np.uint16]: ...

    @abstractmethod
    def _keep(self, start: int, levels: NDArray[np.uint16]) -> None: ...


class HeldCrops(StoredCrops):
    """Crops in memory, in half the space of float32; zeros until they are written."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self._values = np.zeros(shape, np.uint16)

    def _levels(self, start: int, stop: int) -> NDArray[np.uint16]:
        return self._values[start:stop]

    def _keep(self, start: int, levels: NDArray[np.uint16]) -> None:
        self._values[start : start + len(levels)] = levels


class CropStore(StoredCrops):
    """Crops in a file. Writing raises :class:`~redetail.errors.OutputError` when the disk is full."""

    def __init__(self, path: Path, shape: Shape) -> None:
        super().__init__(shape)
        self.path = path
        self._frame_bytes = 2 * shape[1] * shape[2] * shape[3]

    @property
    def bytes(self) -> int:
        """The file's size on disk."""
        return stored_bytes(self.shape)

    def create(self) -> None:
        """Make an empty file."""
        with writing(self.path):
            self.path.write_bytes(b"")

    def _levels(self, start: int, stop: int) -> NDArray[np.uint16]:
        count = (stop - start) * self._frame_bytes // 2
        values = np.fromfile(self.path, dtype=np.uint16, count=count, offset=start * self._frame_bytes)
        return values.reshape(stop - start, *self.shape[1:])

    def _keep(self, start: int, levels: NDArray[np.uint16]) -> None:
        # A plain file, not a memory map: a full disk is then an error to report instead of a bus error.
        with writing(self.path), self.path.open("r+b") as file:
            file.seek(start * self._frame_bytes)
            file.write(levels.tobytes())

    def drop(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


def stored_bytes(shape: Shape) -> int:
    """The bytes that crops of this shape take on disk."""
    return 2 * shape[0] * shape[1] * shape[2] * shape[3]


def checksum_of(path: Path, size: int | None = None) -> int:
    """CRC-32 of the first ``size`` bytes (None: of all bytes)."""
    checksum, left = 0, path.stat().st_size if size is None else size
    with path.open("rb") as file:
        while left and (block := file.read(min(left, _BLOCK))):
            checksum, left = zlib.crc32(block, checksum), left - len(block)
    return checksum


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's errors into :class:`~redetail.errors.OutputError`."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"Crops cannot be written to {path.parent} ({reason(error)}); free some space there, or set --work-dir "
            "(or TMPDIR for temporary files) to a folder on a larger disk."
        ) from error
