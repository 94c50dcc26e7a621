"""Hints for ControlNets in the pipeline: from videos and folders of whole-frame hints, and saved for a look."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from redetail.engines.base import Pixels
from redetail.errors import InputError
from redetail.imaging import resample
from redetail.imaging.hints import hint_names, make_hint
from redetail.pipeline.plan import CropPlan
from redetail.pipeline.spool import CropStore
from redetail.pipeline.stretches import Stretch
from redetail.progress import CancelToken
from redetail.video import FrameSource, VideoInfo, open_source
from redetail.video.av_errors import cannot_write
from redetail.video.folder_sink import png
from redetail.video.target import Target, check_target

Key = TypeVar("Key")
_LOG = logging.getLogger(__name__)
# Whole-frame hints may be smaller or larger than the frames; so much another shape is not rounding any more.
_SHAPE = 0.01


def open_hints(names: Iterable[str], info: VideoInfo) -> dict[str, FrameSource]:
    """The videos and folders among the ``names`` of hints, for a clip with this ``info``.

    A name that can be computed from the crops stays out. Raises :class:`~redetail.errors.InputError` for what is
    neither a computed hint nor a file, and for pictures of another shape than the clip's.
    """
    return {name: _opened(name, info) for name in dict.fromkeys(names) if name not in hint_names()}


def _opened(name: str, info: VideoInfo) -> FrameSource:
    path = Path(name).expanduser()
    if not path.exists():
        raise InputError(
            f"The hint {name!r} is neither one that can be computed ({', '.join(hint_names())}) nor a video or folder "
            "of images on this machine."
        )
    source = open_source(path)
    own, whole = source.info.size, info.size
    if abs(own.width * whole.height / (own.height * whole.width) - 1) > _SHAPE:
        raise InputError(
            f"The hints in {name} are {own} pixels, the frames {whole}; hints show whole frames, so they must have "
            "their shape (any size of it)."
        )
    if source.info.frames and info.frames and source.info.frames != info.frames:
        _LOG.warning(
            "%s has %d frames, the clip %d; the first hint is taken for the first frame, and so on.",
            name, source.info.frames, info.frames,
        )  # fmt: skip
    return source


def spool_hints(
    name: str,
    source: FrameSource,
    plans: Sequence[CropPlan],
    stores: Sequence[CropStore],
    whole: VideoInfo,
    cancel: CancelToken | None = None,
) -> None:
    """Read whole-frame hints once and write what every region's window shows of them to its store.

    Cropped and scaled as the frames are, whatever the hints' own size. Raises :class:`~redetail.errors.InputError`
    where there are fewer hints than frames to be detailed.
    """
    first = min((plan.region.start for plan in plans), default=0)
    last = max((plan.region.stop for plan in plans), default=0)
    kx, ky = source.info.size.width / whole.size.width, source.info.size.height / whole.size.height
    seen = first
    for frame in source.frames(first, last):
        if cancel is not None:
            cancel.check()
        for plan, store in zip(plans, stores, strict=True):
            index = frame.index - plan.region.start
            if 0 <= index < len(plan.region):
                window = plan.region.window(index).scaled(kx, ky)
                store.write(index, resample.crop(frame.pixels, window, plan.working)[None])
        seen = frame.index + 1
    if seen < last:
        raise InputError(
            f"The hints in {name} end after {seen} frames, but frames up to {last} are detailed; give one hint for "
            "every frame of the clip."
        )


@dataclass(frozen=True)
class RegionHints:
    """The hints of one region: ``stores`` by the name of their file, all ``names`` that the engine shows its networks,
    and the folder they are saved to."""

    names: tuple[str, ...] = ()
    stores: Mapping[str, CropStore] = field(default_factory=dict)
    folder: HintFolder | None = None

    def of(self, crop: CropPlan, stretch: Stretch, padded: Pixels) -> dict[str, Pixels]:
        """What the engine is given for a stretch whose padded crops are these; it computes the rest itself."""
        given = {
            name: resample.pad(store.read(stretch.start, stretch.stop), crop.padding)
            for name, store in self.stores.items()
        }
        if self.folder is not None:
            given |= {name: make_hint(name, padded) for name in self.names if name not in given}
            for name, hint in given.items():
                own = resample.unpad(hint, crop.padding)[stretch.shared :]
                self.folder.write(crop, name, crop.region.start + stretch.start + stretch.shared, own)
        return given


class HintFolder:
    """A folder of PNG images of what the ControlNets were shown: ``face_1-canny-000001.png`` for the first frame.

    Subjects that are called alike, and hints whose files are, get a number, as in ``box_2-canny-000001.png``. It
    appears when it is left without an error. Raises :class:`~redetail.errors.OutputError` at once where the folder
    cannot be written, or holds something already.
    """

    def __init__(self, path: Path) -> None:
        check_target(path, None, folder=True)
        self._target = Target(path, folder=True)
        self._subjects: dict[int, str] = {}
        self._hints: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._target.create()
        return self

    def write(self, crop: CropPlan, name: str, first: int, hints: Pixels) -> None:
        """Write hints (n, h, w, 3) 0..1 of a region for the frames ``first`` ... of the clip."""
        subject = _unlike(self._subjects, crop.track, crop.region.label)
        stem = f"{subject}-{_unlike(self._hints, name, Path(name).stem)}"
        for index, hint in enumerate(hints, first + 1):
            pixels = resample.from_float(hint, np.uint8)
            try:
                (self._target.temporary / f"{stem}-{index:06d}.png").write_bytes(png(pixels))
            except OSError as error:
                raise cannot_write(self._target.path, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._target.commit()
        finally:
            self._target.discard()  # nothing is left of it after a commit


def _unlike(names: dict[Key, str], key: Key, text: str) -> str:
    """What ``key`` is called in names of files: ``text``, or with a number where another key is called that."""
    if key not in names:
        plain = _plain(text)
        numbered = (plain if number == 1 else f"{plain}_{number}" for number in count(1))
        names[key] = next(name for name in numbered if name not in names.values())
    return names[key]


def _plain(text: str) -> str:
    """Letters, digits, dots and dashes: a name for every file system."""
    return re.sub(r"[^\w.-]+", "_", text)
