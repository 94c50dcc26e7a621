"""Converts colours from and to FFmpeg, applying the stream's matrix and range in both directions.

A stream that does not name its matrix is read as by players: BT.709 for high definition, else BT.601. The output does
not name it either, so that a player's guess is the same before and after.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np
from av import VideoFormat, VideoFrame
from av.filter import Graph
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from redetail.imaging.thumbnail import SIDE, thumbnail
from redetail.region import Size
from redetail.video.base import RGB, Color
from redetail.video.native import NativeFrame, keep_native, stored_format

_KNOWN = (1, 4, 5, 6, 7, 9)  # matrices of H.273 that the scaler can apply
_LIMITED, _FULL = 1, 2
_UNNAMED = 2
_DEPTH = re.compile(r"(?<=[py])\d+le$")
_PRECISE = (
    Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.BITEXACT
)
_EXACT = Interpolation.BICUBIC | _PRECISE

BT709 = Color(matrix=1, primaries=1, transfer=1, range=_LIMITED)
"""What pictures without a matrix (PNG, GIF, arrays) become when they are written as video."""

BT601 = Color(matrix=6, primaries=6, transfer=6, range=_LIMITED)


def applied_matrix(color: Color, size: Size) -> int:
    """The H.273 matrix to compute with: the stream's own, or the one that players assume for that size."""
    if color.matrix in _KNOWN:
        return color.matrix
    return 1 if size.width >= 1280 or size.height > 576 else 5


def color_of(frame: VideoFrame) -> Color:
    """The tags of a decoded frame. The "J" formats of old JPEG streams are full range by definition."""
    full = frame.format.name.startswith("yuvj")
    return Color(frame.colorspace, frame.color_primaries, frame.color_trc, _FULL if full else frame.color_range)


def is_rgb(name: str) -> bool:
    """Whether a pixel format of that name holds red, green and blue (or a palette of them)."""
    return name.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr", "bayer"))


def contiguous(pixels: RGB) -> RGB:
    """The same pixels without gaps, as FFmpeg needs them."""
    return pixels if pixels.flags.c_contiguous else pixels.copy()


class Decoder:
    """Turns decoded frames into (H, W, 3) RGB as they are stored (not yet upright)."""

    def __init__(self, deep: bool) -> None:
        self._format = "rgb48le" if deep else "rgb24"
        self._scaler, self._small_scaler = VideoReformatter(), VideoReformatter()  # each keeps its tables

    def __call__(self, frame: VideoFrame) -> RGB:
        """(H, W, 3) uint8, or uint16 over the whole range for deep formats."""
        if frame.format.name != self._format:
            _declare(frame)
            frame = self._scaler.reformat(frame, format=self._format, interpolation=_EXACT, dst_color_range=_FULL)
        pixels: RGB = frame.to_ndarray()  # type: ignore[assignment]  # rgb24 and rgb48 are integers
        return pixels

    def thumbnail(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """The picture as :func:`redetail.imaging.thumbnail.thumbnail` makes it, except for rounding, but much sooner
        than by converting all of it."""
        if min(frame.width, frame.height) < SIDE:
            return thumbnail(self(frame))
        _declare(frame)
        small = self._small_scaler.reformat(
            frame, SIDE, SIDE, "rgb24", interpolation=Interpolation.AREA | _PRECISE, dst_color_range=_FULL
        )
        return small.to_ndarray()  # type: ignore[return-value]  # rgb24 has 8 bits


def _declare(frame: VideoFrame) -> None:
    """Name the matrix and the range that a frame is read with."""
    if not is_rgb(frame.format.name):
        color = color_of(frame)
        frame.colorspace = applied_matrix(color, Size(frame.width, frame.height))
        frame.color_range = color.range or _LIMITED


class Encoder:
    """Turns upright RGB into frames of the pixel format that an encoder takes, tagged as the source was.

    ``siting``: where shared chroma lies, "left" as in video decoders or "center" as in WebP. ``exact``: keep the
    source's samples even if no tag can say where their chroma lies.
    """

    def __init__(
        self, pixel_format: str, color: Color, size: Size, siting: str = "left", *, exact: bool = False
    ) -> None:
        self._exact = exact
        self._size, self._siting = size, siting
        self._sources: dict[str, VideoFrame] = {}
        self._format, self._color = pixel_format, color
        self._matrix = applied_matrix(color, size)
        self._range = color.range or _LIMITED
        self._scaler = VideoReformatter()

    def __call__(self, pixels: RGB, native: NativeFrame | None = None) -> VideoFrame:
        """A frame without timestamps; samples of ``native`` are kept where its pixels were not changed."""
        coded = self._converted(pixels)
        same = None if native is None or not self._holds(native) else native.unchanged(pixels)
        if native is not None and same is not None:
            keep_native(coded, native, same)
        return coded

    def _holds(self, native: NativeFrame) -> bool:
        """Whether samples of the source mean the same in the output."""
        if not (self._exact or native.sited):
            return False
        alike = stored_format(native.picture.format.name, native.orientation) == self._format
        return alike and (is_rgb(self._format) or (color_of(native.picture).range or _LIMITED) == self._range)

    def _converted(self, pixels: RGB) -> VideoFrame:
        layout = "rgb24" if pixels.dtype == np.uint8 else "rgb48le"
        if is_rgb(self._format):  # no matrix, and its own range
            frame = VideoFrame.from_ndarray(contiguous(pixels), format=layout)
            return self._scaler.reformat(frame, format=self._format, interpolation=_EXACT)
        frame = self._filled(pixels, layout)
        frame.colorspace = self._matrix
        frame = self._full(frame) if self._range == _FULL else self._scaled(frame, self._format)
        frame.colorspace, frame.color_range = self._color.matrix, self._color.range
        frame.color_primaries, frame.color_trc = self._color.primaries, self._color.transfer
        return frame

    def _filled(self, pixels: RGB, layout: str) -> VideoFrame:
        """An RGB frame with a chroma location, which the scaler passes on and PyAV cannot set."""
        if layout not in self._sources:
            self._sources[layout] = _sited(self._size, layout, self._siting)
        frame = self._sources[layout]
        width = 3 * self._size.width
        rows = np.frombuffer(memoryview(frame.planes[0]), pixels.dtype).reshape(self._size.height, -1)
        rows[:, :width] = pixels.reshape(self._size.height, width)
        return frame

    def _scaled(self, frame: VideoFrame, pixel_format: str) -> VideoFrame:
        return self._scaler.reformat(frame, format=pixel_format, interpolation=_EXACT, dst_color_range=_LIMITED)

    def _full(self, frame: VideoFrame) -> VideoFrame:
        """Convert to full range through 16 bits of limited range, since libswscale's own conversion rounds colour
        down."""
        fine = self._scaled(frame, f"{re.sub(_DEPTH, '', self._format)}16le")
        coded = VideoFrame(frame.width, frame.height, self._format)
        bits = coded.format.components[0].bits
        for index, (source, target) in enumerate(zip(fine.planes, coded.planes, strict=True)):
            values = np.frombuffer(memoryview(source), np.uint16).reshape(source.height, -1)[:, : source.width]
            _store(full_range(values, bits, chroma=index > 0), target, np.uint16 if bits > 8 else np.uint8)
        return coded


def _sited(size: Size, layout: str, siting: str) -> VideoFrame:
    """An empty frame with a chroma location. Without one, the scaler centres chroma but decoders assume it on the left,
    so that each generation would move colours by half a pixel."""
    graph = Graph()
    source = graph.add_buffer(width=size.width, height=size.height, format=VideoFormat(layout), time_base=Fraction(1))
    place, sink = graph.add("setparams", f"chroma_location={siting}"), graph.add("buffersink")
    source.link_to(place)
    place.link_to(sink)
    graph.configure()
    graph.push(VideoFrame(size.width, size.height, layout))
    frame = graph.pull()
    assert isinstance(frame, VideoFrame)
    return frame


def full_range(values: NDArray[np.uint16], bits: int, *, chroma: bool) -> NDArray[np.uint16]:
    """16-bit limited-range luma or chroma as full range of ``bits`` bits (H.273, equations 20 to 31)."""
    zero, span = (128 << 8, 224 << 8) if chroma else (16 << 8, 219 << 8)
    high = (1 << bits) - 1
    middle = 1 << (bits - 1) if chroma else 0
    scaled = (values.astype(np.float32) - zero) * np.float32(high / span) + middle
    rounded: NDArray[np.uint16] = np.rint(scaled).clip(0, high).astype(np.uint16)
    return rounded


def _store(values: NDArray[np.uint16], plane: VideoPlane, kind: type[np.unsignedinteger[Any]]) -> None:
    """Write the values of a plane, whose rows may be longer than the picture is wide."""
    rows = np.zeros((plane.height, plane.line_size // np.dtype(kind).itemsize), kind)
    rows[:, : plane.width] = values
    plane.update(rows.tobytes())
