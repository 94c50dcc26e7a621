"""Finished crops on disk: compressed without loss, frame by frame, with an index and a checksum."""

from __future__ import annotations

import struct
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from redetail.files import rename
from redetail.optional import requires
from redetail.pipeline.crop_store import CHECKSUM_BYTES, Shape, StoredCrops, checksum_of, stored_bytes, writing
from redetail.region import Size

if TYPE_CHECKING:
    from redetail.video.crop_codec import CropCodec

_COUNT = struct.Struct("<I")


class PackedCrops(StoredCrops):
    """Crops in a file: written once, in ascending order, and sealed; then read in any order, from any thread.

    The file holds the frames' bytes, the number of bytes of each frame, the codec's header, the header's length, and a
    CRC-32. A frame that compression would enlarge is stored uncompressed. Writing raises
    :class:`~redetail.errors.OutputError` when the disk is full.
    """

    def __init__(self, path: Path, shape: Shape) -> None:
        super().__init__(shape)
        self.path = path
        self._raw, self._lengths, self._lock = stored_bytes((1, *shape[1:])), list[int](), Lock()

    @property
    def most_bytes(self) -> int:
        """The most bytes that the file takes on disk."""
        return stored_bytes(self.shape) + self._trailer(1024)

    def create(self) -> None:
        """Make an empty file."""
        with writing(self.path):
            self.path.write_bytes(b"")

    def seal(self, path: Path, *, durable: bool) -> None:
        """Add the index and the checksum, and rename the file to ``path``; ``durable``: force all of this to disk."""
        header = self._encoder.header
        index = struct.pack(f"<{len(self)}I", *self._lengths) + header + _COUNT.pack(len(header))
        with writing(path):
            self._append(index)
            self._append(checksum_of(self.path).to_bytes(CHECKSUM_BYTES, "little"))
            if durable:
                rename(self.path, path)
            else:
                self.path.replace(path)

    def sealed(self) -> bool:
        """Whether the file exists, complete and undamaged."""
        try:
            size = self.path.stat().st_size - CHECKSUM_BYTES
            if size < self._trailer(0) - CHECKSUM_BYTES:
                return False
            with self.path.open("rb") as file:
                file.seek(size)
                return int.from_bytes(file.read(), "little") == checksum_of(self.path, size)
        except OSError:  # it does not exist, or a folder or link has taken its place
            return False

    def drop(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)

    def release(self) -> None:
        """Close the decoder, which holds more than a megabyte."""
        with self._lock:
            self.__dict__.pop("_reader", None)

    def _keep(self, start: int, levels: NDArray[np.uint16]) -> None:
        if start != len(self._lengths):
            raise ValueError(f"frame {start} was written out of order; frame {len(self._lengths)} was expected")
        packed = [min(self._encoder.pack(crop), crop.tobytes(), key=len) for crop in levels]
        self._lengths += map(len, packed)
        with writing(self.path):
            self._append(b"".join(packed))

    def _levels(self, start: int, stop: int) -> NDArray[np.uint16]:
        levels = np.empty((stop - start, *self.shape[1:]), np.uint16)
        with self._lock:  # one decoder for all threads
            ends, codec = self._reader
            with self.path.open("rb") as file:
                file.seek(ends[start])
                data = file.read(ends[stop] - ends[start])
            for index in range(start, stop):
                packed = data[ends[index] - ends[start] : ends[index + 1] - ends[start]]
                levels[index - start] = self._unpacked(codec, packed)
        return levels

    @cached_property
    def _encoder(self) -> CropCodec:
        return self._codec(None)

    @cached_property
    def _reader(self) -> tuple[list[int], CropCodec]:
        """The position of each frame in the file, and the codec that decompresses it."""
        with self.path.open("rb") as file:
            file.seek(-CHECKSUM_BYTES - _COUNT.size, 2)
            (length,) = _COUNT.unpack(file.read(_COUNT.size))
            file.seek(-self._trailer(length), 2)
            lengths = np.frombuffer(file.read(4 * len(self)), "<u4")
            codec = self._codec(file.read(length))
        return [0, *np.cumsum(lengths, dtype=np.int64).tolist()], codec

    def _unpacked(self, codec: CropCodec, data: bytes) -> NDArray[np.uint16]:
        """One frame, (h, w, 3)."""
        return np.frombuffer(data, np.uint16).reshape(self.shape[1:]) if len(data) == self._raw else codec.unpack(data)

    def _codec(self, header: bytes | None) -> CropCodec:
        with requires("av"):
            from redetail.video.crop_codec import CropCodec

        return CropCodec(Size(self.shape[2], self.shape[1]), header)

    def _trailer(self, header: int) -> int:
        """Bytes of the index, a header of that length and the checksum."""
        return 4 * len(self) + header + _COUNT.size + CHECKSUM_BYTES

    def _append(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)
