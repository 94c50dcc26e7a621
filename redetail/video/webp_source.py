"""Frames of a WebP animation: FFmpeg's decoder reads stills only, so Pillow decodes and the chunks give the times."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from redetail.errors import InputError
from redetail.region import Size
from redetail.video.base import Frame, VideoInfo
from redetail.video.fingerprint import Fingerprint
from redetail.video.glimpse import Glimpse
from redetail.video.probe import check_size

_TIME_BASE = Fraction(1, 1000)
_UNSAID = 100  # milliseconds that browsers give a frame whose duration is zero


class WebPSource:
    """A WebP animation; satisfies ``FrameSource``. The time base is one millisecond, that of the format."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fingerprint = Fingerprint.of(path)
        check_size(*_canvas(path), path)
        self._durations = _durations(path)
        with self._open() as image:
            size = Size(*image.size)
            transparent = bool(np.asarray(self._first(image).getchannel("A")).min() < 255)
        notice = f"{path.name} has transparency (alpha), which is dropped: the result is opaque."
        self._info = VideoInfo(
            size=size,
            rate=Fraction(len(self._durations) * 1000, sum(self._durations)),
            time_base=_TIME_BASE,
            frames=len(self._durations),
            bit_depth=8,
            notices=(notice,) if transparent else (),
            path=path,
        )

    @property
    def info(self) -> VideoInfo:
        """What is known before decoding."""
        return self._info

    @property
    def faults(self) -> tuple[str, ...]:
        """Nothing: a damaged animation is refused."""
        return ()

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames ``start`` to ``stop`` (excluded); each call decodes again."""
        self._fingerprint.check()
        with self._open() as image:
            pts = sum(self._durations[:start])
            for index in self.indices(start, stop):
                try:
                    image.seek(index)
                    pixels = np.array(image.convert("RGB"))
                except (OSError, EOFError, ValueError) as error:
                    last = max(1, index - 1)
                    raise InputError(
                        f"{self._path} is damaged or cut short: only {index} of {len(self._durations)} frames can be "
                        f"decoded; use an intact copy, or stop before frame {last} (--end {last}f)."
                    ) from error
                yield Frame(index, pts, pixels, self._durations[index])
                pts += self._durations[index]
        self._fingerprint.check()

    def glimpses(self, start: int = 0, stop: int | None = None) -> Iterator[Glimpse]:
        """The same frames, with thumbnails."""
        return map(Glimpse.of, self.frames(start, stop))

    def indices(self, start: int = 0, stop: int | None = None) -> Iterator[int]:
        """The indices of these frames."""
        yield from range(*slice(start, stop).indices(len(self._durations)))

    def index_at(self, seconds: Fraction) -> int:
        """The first frame at ``seconds`` or later; the number of frames if none is."""
        begins = itertools.accumulate(self._durations[:-1], initial=0)
        return sum(begin * _TIME_BASE < seconds for begin in begins)

    def _first(self, image: Image.Image) -> Image.Image:
        try:
            return image.convert("RGBA")
        except (OSError, EOFError, ValueError) as error:
            raise InputError(
                f"{self._path} is damaged: not even its first frame can be decoded; use an intact copy."
            ) from error

    def _open(self) -> Image.Image:
        try:
            return Image.open(self._path, formats=["WEBP"])
        except (UnidentifiedImageError, OSError) as error:
            raise InputError(
                f"{self._path} is damaged: it cannot be read as a WebP file; use an intact copy."
            ) from error


def is_animated_webp(path: Path) -> bool:
    """Whether a file is a WebP with an animation in it, by its header."""
    with path.open("rb") as file:
        head = file.read(21)
    return len(head) == 21 and head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def _canvas(path: Path) -> tuple[int, int]:
    """Width and height, from the header of an animation."""
    with path.open("rb") as file:
        head = file.read(30)
    return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1


def _durations(path: Path) -> tuple[int, ...]:
    """Milliseconds of each frame, from the ANMF chunks (WebP container specification)."""
    with path.open("rb") as file:
        durations = tuple(_frame_durations(file, path.stat().st_size))
    if not durations:
        raise InputError(f"{path} is damaged: its animation has no frames; use an intact copy.")
    return durations


def _frame_durations(file: BinaryIO, length: int) -> Iterator[int]:
    position = 12
    while position + 8 <= length:
        file.seek(position)
        kind, size = struct.unpack("<4sI", file.read(8))
        if kind == b"ANMF":
            header = file.read(16)
            if len(header) < 16:
                return
            yield int.from_bytes(header[12:15], "little") or _UNSAID
        position += 8 + size + size % 2
