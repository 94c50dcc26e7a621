"""Hints for ControlNets in the pipeline: from videos and folders of whole-frame hints, and saved for a look."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import TypeVar

import numpy as np

from redetail.engines.base import CropSource, Pixels
from redetail.errors import InputError
from redetail.files import cannot_write, expanded
from redetail.imaging import resample
from redetail.imaging.hints import hint_names, make_hint
from redetail.optional import requires
from redetail.pipeline.plan import CropPlan
from redetail.region import Box, Size
from redetail.video import FrameSource, VideoInfo, open_source
from redetail.video.target import Target, check_target

Key = TypeVar("Key")
_LOG = logging.getLogger(__name__)
# Whole-frame hints may be smaller or larger than the frames; so much another shape is not rounding any more.
_SHAPE = 0.01


def open_hints(names: Iterable[str], info: VideoInfo, *, strict: bool = False) -> dict[str, FrameSource]:
    """The videos and folders among the ``names`` of hints, for a clip with this ``info``; ``strict`` refuses damage.

    A name that can be computed from the crops stays out. Raises :class:`~redetail.errors.InputError` for what is
    neither a computed hint nor a file, and for pictures of another shape than the clip's.
    """
    computed = [name for name in dict.fromkeys(names) if name in hint_names()]
    for name in computed:
        if os.path.exists(name):
            _LOG.warning(
                "The hint %s is computed from the crops; for the file or folder of that name, give ./%s.", name, name
            )
    return {name: _opened(name, info, strict) for name in dict.fromkeys(names) if name not in computed}


def _opened(name: str, info: VideoInfo, strict: bool) -> FrameSource:
    path = expanded(name)
    if not os.path.exists(path):
        raise InputError(
            f"The hint {name!r} is neither one that can be computed ({', '.join(hint_names())}) nor a video or folder "
            "of images on this machine."
        )
    source = open_source(path, strict=strict)
    own, whole = source.info.size, info.size
    if abs(own.width * whole.height / (own.height * whole.width) - 1) > _SHAPE:
        raise InputError(
            f"The hints in {name} are {own} pixels, the frames {whole}; hints show whole frames, so they must have "
            "the same aspect ratio, at any size."
        )
    if source.info.frames and info.frames and source.info.frames != info.frames:
        _LOG.warning(
            "%s has %d frames, but the clip has %d; the first hint is used for the first frame, and so on.",
            name, source.info.frames, info.frames,
        )  # fmt: skip
    return source


class HintFrames:
    """Whole-frame hints in a file, read along with the frames of the clip: those from ``first`` up to ``last``.

    Raises :class:`~redetail.errors.InputError` at once if there are fewer hints than frames to be detailed.
    """

    def __init__(self, name: str, source: FrameSource, whole: Size, first: int, last: int) -> None:
        self._name, self._last = name, last
        self._kx, self._ky = source.info.size.width / whole.width, source.info.size.height / whole.height
        if next(source.frames(last - 1, last), None) is None:
            raise self._too_few(sum(1 for _ in source.frames(0, last)))
        self._frames = source.frames(first, last)
        self._frame = next(self._frames)

    def crop(self, index: int, window: Box, working: Size) -> Pixels:
        """What the window of a frame shows of the frame's hint, (h, w, 3) 0..1: cropped and scaled as the frame is,
        whatever the hints' own size. Frames are asked for in order."""
        while self._frame.index < index:
            following = next(self._frames, None)
            if following is None:
                raise self._too_few(self._frame.index + 1)
            self._frame = following
        return resample.crop(self._frame.pixels, window.scaled(self._kx, self._ky), working)

    def _too_few(self, count: int) -> InputError:
        return InputError(
            f"The hints in {self._name} end after {count} frames, but frames up to {self._last} are detailed; give one "
            "hint for every frame of the clip."
        )


HintNames = Mapping[str, str]
"""What the pictures of each hint of a region are called, without the number of the frame."""


def computed_hints(names: Iterable[str], crops: CropSource) -> dict[str, CropSource]:
    """Hints of padded crops by name, computed as the engine would."""
    return {name: CropSource.of(make_hint(name, crops.all())) for name in names}


def save_hints(folder: Path, stem: str, hints: Pixels, first: int) -> None:
    """Write hints (n, h, w, 3) 0..1 as pictures for the frames ``first`` ... of the clip."""
    with requires("av"):
        from redetail.video.folder_sink import png

    for index, hint in enumerate(hints, first + 1):
        pixels = resample.from_float(hint, np.uint8)
        try:
            (folder / f"{stem}-{index:06d}.png").write_bytes(png(pixels))
        except OSError as error:
            raise cannot_write(folder, error) from error


class HintFolder:
    """A folder of PNG images of what the ControlNets were shown: ``face_1-canny-000001.png`` for the first frame.

    Raises :class:`~redetail.errors.OutputError` at once if the folder cannot be written, or holds something already.
    """

    def __init__(self, path: Path) -> None:
        check_target(path, None, folder=True)
        self._target = Target(path, folder=True)

    def fill(self, pictures: Path) -> None:
        """Copy the pictures in a folder; the wanted folder appears once all are there."""
        try:
            self._target.create()
            for picture in sorted(pictures.iterdir()):
                try:
                    shutil.copyfile(picture, self._target.temporary / picture.name)
                except OSError as error:
                    raise cannot_write(self._target.path, error) from error
            self._target.commit()
        finally:
            self._target.discard()  # nothing is left of it after a commit


def hint_names_of(crops: Iterable[CropPlan], hints: Iterable[str]) -> list[HintNames]:
    """What the pictures of every region's hints are called.

    Subjects that are called alike, and hints whose files are, get a number, as in ``box_2-canny-000001.png``.
    """
    subjects: dict[int, str] = {}
    stems: dict[str, str] = {}
    own = {name: _unlike(stems, name, Path(name).stem) for name in dict.fromkeys(hints)}
    labels = [_unlike(subjects, crop.track, crop.region.label) for crop in crops]
    return [{name: f"{label}-{stem}" for name, stem in own.items()} for label in labels]


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
