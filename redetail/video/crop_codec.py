"""Compresses crops of 16 bits per value without loss, one by one, with FFmpeg's Huffman coder (FFVHUFF).

It codes green and the differences of red and blue from it, modulo 2^16, each predicted from its neighbours. On enhanced
crops of a real clip, it takes 72% of the bytes, and 2 to 3 ms for a crop of 232x320. FFV1 takes 62% and 15 to 65
times as long; zlib on differences takes 75% and ten times as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from redetail.region import Size

Levels = NDArray[np.uint16]
_CODEC, _FORMAT, _LEAST = "ffvhuff", "yuv444p16le", 8  # pixels of a side, below which the coder refuses or fails


class CropCodec:
    """Codes crops (h, w, 3) of one ``size``. ``header``: additional data that a decoder needs (None: this
    encoder's)."""

    def __init__(self, size: Size, header: bytes | None = None) -> None:
        self._size, self._padded = size, Size(max(_LEAST, size.width), max(_LEAST, size.height))
        self._encoder: Any = None
        self._decoder: Any = None
        if header is None:
            self._encoder = self._context("w")
            header = bytes(self._encoder.extradata or b"")
        self.header = header

    def pack(self, crop: Levels) -> bytes:
        """One crop as bytes."""
        frame: Any = av.VideoFrame(self._padded.width, self._padded.height, _FORMAT)
        green = crop[..., 1]
        for plane, values in zip(frame.planes, (green, crop[..., 2] - green, crop[..., 0] - green), strict=True):
            rows = np.zeros((self._padded.height, plane.line_size // 2), np.uint16)
            rows[: self._size.height, : self._size.width] = values
            plane.update(rows)
        (packet,) = self._encoder.encode(frame)
        return bytes(packet)

    def unpack(self, data: bytes) -> Levels:
        """The crop that :meth:`pack` was given."""
        if self._decoder is None:
            self._decoder = self._context("r")
            self._decoder.extradata = self.header
        (frame,) = self._decoder.decode(av.Packet(data))
        crop = np.empty((*self._size.shape, 3), np.uint16)
        crop[..., 1], crop[..., 2], crop[..., 0] = self._values(frame)
        crop[..., 2] += crop[..., 1]
        crop[..., 0] += crop[..., 1]
        return crop

    def _values(self, frame: Any) -> Iterator[Levels]:
        for plane in frame.planes:
            rows = np.frombuffer(plane, np.uint16).reshape(self._padded.height, plane.line_size // 2)
            yield rows[: self._size.height, : self._size.width]

    def _context(self, mode: Any) -> Any:
        context: Any = av.CodecContext.create(_CODEC, mode)
        context.width, context.height, context.pix_fmt = self._padded.width, self._padded.height, _FORMAT
        context.thread_count = 1
        if mode == "w":
            context.time_base = 1
            context.options = {"pred": "plane"}
            context.open()
        return context
