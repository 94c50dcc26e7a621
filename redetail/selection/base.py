"""Subject selection: each value says which subjects are detailed, and finds them in a clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from redetail.detection import CutDetector
from redetail.imaging.parallel import ahead
from redetail.progress import CancelToken, ProgressCallback, no_progress, with_progress
from redetail.region import Region, Size
from redetail.video import open_source
from redetail.video.base import Frame, FrameSource
from redetail.video.glimpse import Glimpse
from redetail.video.span import Position, Span, index_of
from redetail.video.timing import timecode

T = TypeVar("T")
F = TypeVar("F", Frame, Glimpse)


@dataclass(frozen=True, eq=False, slots=True)
class InMemory(Generic[T]):
    """A value without a file name. Two are equal if they hold the same object, since arrays compare element by
    element."""

    value: T

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InMemory) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


@dataclass(frozen=True, slots=True)
class CommandOption:
    """How a kind of selection is given on the command line: ``parse`` reads one value; with ``repeatable``, several
    values are collected in a list."""

    metavar: str
    help: str
    parse: Callable[[str], Any] = str
    repeatable: bool = False


class Search:
    """One reading of a part of a clip, shared by all selections of a job.

    ``crop_factor``: side of a crop window as a multiple of the side of the subject's box; ``strict``: files other than
    the clip are refused if they are damaged.
    """

    def __init__(
        self,
        source: FrameSource,
        span: Span,
        crop_factor: float,
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self._strict = strict
        self._beside: list[FrameSource] = []
        self._source, self._span, self._progress, self._cancel = source, span, progress, cancel
        self._range: tuple[int, int] | None = None
        self.crop_factor = crop_factor
        self.notices: list[str] = []
        """Messages for the user, which selections add to while they search."""

    @property
    def size(self) -> Size:
        """The size of the frames."""
        return self._source.info.size

    def open(self, path: Path) -> FrameSource:
        """A video or picture that is read in addition to the clip; its faults are reported like those of the clip."""
        source = open_source(path, strict=self._strict)
        self._beside.append(source)
        return source

    @property
    def faults(self) -> tuple[str, ...]:
        """What was missing or damaged in files that were read in addition to the clip."""
        return tuple(fault for source in self._beside for fault in source.faults)

    def frames(self) -> Iterator[Frame]:
        """Decode the frames; raises :class:`~redetail.errors.InputError` if the part holds none."""
        return self._read(self._span.select(self._source))

    def glimpses(self) -> Iterator[Glimpse]:
        """The same frames, for readers that need the pixels of only a few of them."""
        return self._read(self._span.glimpses(self._source))

    def cuts(self) -> list[int]:
        """The indices of the frames that start a new shot; all frames are read."""
        shots = CutDetector()
        return [frame.index for frame in self.glimpses() if shots.update_thumbnail(frame.thumbnail)]

    def _read(self, frames: Iterator[F]) -> Iterator[F]:
        start = stop = None
        for frame in self._reported(ahead(frames)):
            start, stop = frame.index if start is None else start, frame.index + 1
            yield frame
        self._range = start or 0, stop or 0

    def _reported(self, items: Iterator[T]) -> Iterator[T]:
        """Yield the items, one for each frame of the part, and report progress."""
        total = self._span.estimated_frames(self._source.info)
        return with_progress(items, total, "detect", self._progress, self._cancel)

    def part(self, start: int, stop: int) -> Iterator[Frame]:
        """Decode some of the frames again."""
        for frame in self._source.frames(start, stop):
            if self._cancel is not None:
                self._cancel.check()
            yield frame

    def index_of(self, name: str, position: Position) -> int:
        """The frame at a position in the clip; raises :class:`~redetail.errors.SettingsError` for an invalid one."""
        return index_of(name, position, self._source)

    def timecode(self, frame: int) -> str:
        """The time of a frame, as players show it."""
        return timecode(frame, self._source.info.rate)

    def frame_range(self) -> tuple[int, int]:
        """The index of the first frame and the index after the last one. All frames are read to find out, since
        containers only give estimates."""
        if self._range is None:
            indices = self._reported(self._span.indices(self._source))
            first = next(indices)  # raises if the part has no frames
            self._range = first, max(indices, default=first) + 1
        return self._range


class Selection(ABC):
    """The base of all kinds of selection. Each kind is a frozen value that says which subjects are detailed.

    A kind has its own module and is registered in :mod:`redetail.selection`. Its ``name`` is the keyword of
    :func:`redetail.detail` and the key in job documents; ``option`` says how it is given on the command line.
    """

    name: ClassVar[str]
    option: ClassVar[CommandOption]

    @classmethod
    @abstractmethod
    def from_option(cls, value: Any) -> Self | None:
        """The selection that a caller of the library or of the command line means; None if it selects nothing."""

    @classmethod
    @abstractmethod
    def from_document(cls, value: Any, folder: Path) -> Self:
        """The selection that a document holds under ``name``; file names are relative to ``folder``.

        Raises :class:`~redetail.documents.WrongKindError` for a value of the wrong kind.
        """

    @abstractmethod
    def to_document(self) -> Any:
        """The value that :meth:`from_document` reads, with absolute paths of files; None if the selection is not in a
        file."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the selection reads."""
        return ()

    def check(self, size: Size) -> None:
        """Refuse anything that cannot be used with frames of this size, before the clip is read, which can take an
        hour."""
        return

    @abstractmethod
    def find(self, search: Search) -> list[Region]:
        """The selected subjects as regions over time."""

    @property
    def nothing_found(self) -> str:
        """The message if no subject was found."""
        return "No subject was found, so nothing was detailed."
