"""Hints for ControlNets in the pipeline: read from videos and folders of whole-frame hints, and saved as pictures."""

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
# Whole-frame hints may be smaller or larger than the frames; a larger difference in shape is more than rounding.
_SHAPE = 0.01


def open_hints(names: Iterable[str], info: VideoInfo, *, strict: bool = False) -> dict[str, FrameSource]:
    """The videos and folders among the ``names`` of hints, for a clip with this ``info``; ``strict`` refuses damage.

    Names of hints that are computed from the crops are skipped. Raises :class:`~redetail.errors.InputError` for a name
    that is neither a computed hint nor a file, and for pictures whose shape differs from the clip's.
    """
    computed = [name for name in dict.fromkeys(names) if name in hint_names()]
    for name in computed:
        if os.path.exists(name):
            _LOG.warning(
                "The hint %s is computed from the crops; to use the file or folder of that name, give ./%s.", name, name
            )
    return {name: _opened(name, info, strict) for name in dict.fromkeys(names) if name not in computed}


def _opened(name: str, info: VideoInfo, strict: bool) -> FrameSource:
    path = expanded(name)
    if not os.path.exists(path):
        raise InputError(
            f"The hint {name!r} is neither a kind that can be computed ({', '.join(hint_names())}) nor a video or "
            "folder of images on this machine; give one of these."
        )
    source = open_source(path, strict=strict)
    own, whole = source.info.size, info.size
    if abs(own.width * whole.height / (own.height * whole.width) - 1) > _SHAPE:
        raise InputError(
            f"The hints in {name} are {own} pixels, but the frames are {whole}; hints can have any size, but must have "
            "the aspect ratio of the frames."
        )
    if source.info.frames and info.frames and source.info.frames != info.frames:
        _LOG.warning(
            "%s has %d frames, but the clip has %d; hint n is used for frame n.",
            name, source.info.frames, info.frames,
        )  # fmt: skip
    return source


class HintFrames:
    """Whole-frame hints from a file, read along with frames ``first`` to ``last`` of the clip.

    Raises :class:`~redetail.errors.InputError` immediately if there are fewer hints than frames to be detailed.
    """

    def __init__(self, name: str, source: FrameSource, whole: Size, first: int, last: int) -> None:
        self._name, self._last = name, last
        self._kx, self._ky = source.info.size.width / whole.width, source.info.size.height / whole.height
        if next(source.frames(last - 1, last), None) is None:
            raise self._too_few(sum(1 for _ in source.frames(0, last)))
        self._frames = source.frames(first, last)
        self._frame = next(self._frames)

    def crop(self, index: int, window: Box, working: Size) -> Pixels:
        """The part of a frame's hint that lies in the window, (h, w, 3) 0..1: cropped and scaled like the frame,
        whatever the hints' own size. Frames must be requested in order."""
        while self._frame.index < index:
            following = next(self._frames, None)
            if following is None:
                raise self._too_few(self._frame.index + 1)
            self._frame = following
        return resample.crop(self._frame.pixels, window.scaled(self._kx, self._ky), working)

    def _too_few(self, count: int) -> InputError:
        return InputError(
            f"There are only {count} hints in {self._name}, but {self._last} are needed; give one hint "
            "for every frame of the clip."
        )


HintNames = Mapping[str, str]
"""The names of the pictures of each hint of a region, without the frame number."""


def computed_hints(names: Iterable[str], crops: CropSource) -> dict[str, CropSource]:
    """Hints for padded crops by name, computed as the engine would compute them."""
    return {name: CropSource.of(make_hint(name, crops.all())) for name in names}


def save_hints(folder: Path, stem: str, hints: Pixels, first: int) -> None:
    """Write hints (n, h, w, 3) 0..1 as pictures, for frames of the clip from ``first`` on."""
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

    Raises :class:`~redetail.errors.OutputError` immediately if the folder cannot be written or is not empty.
    """

    def __init__(self, path: Path) -> None:
        check_target(path, None, folder=True)
        self._target = Target(path, folder=True)

    def fill(self, pictures: Path) -> None:
        """Copy the pictures from a folder; the requested folder appears once all of them are copied."""
        try:
            self._target.create()
            for picture in sorted(pictures.iterdir()):
                try:
                    shutil.copyfile(picture, self._target.temporary / picture.name)
                except OSError as error:
                    raise cannot_write(self._target.path, error) from error
            self._target.commit()
        finally:
            self._target.discard()  # does nothing after a commit


def hint_names_of(crops: Iterable[CropPlan], hints: Iterable[str]) -> list[HintNames]:
    """The names of the pictures of every region's hints.

    Subjects with the same name, and hints whose files have the same name, get a number: ``box_2-canny-000001.png``.
    """
    subjects: dict[int, str] = {}
    stems: dict[str, str] = {}
    own = {name: _unlike(stems, name, Path(name).stem) for name in dict.fromkeys(hints)}
    labels = [_unlike(subjects, crop.track, crop.region.label) for crop in crops]
    return [{name: f"{label}-{stem}" for name, stem in own.items()} for label in labels]


def _unlike(names: dict[Key, str], key: Key, text: str) -> str:
    """The name of ``key`` in file names: ``text``, or ``text`` with a number if another key already has that name."""
    if key not in names:
        plain = _plain(text)
        numbered = (plain if number == 1 else f"{plain}_{number}" for number in count(1))
        names[key] = next(name for name in numbered if name not in names.values())
    return names[key]


def _plain(text: str) -> str:
    """A name of letters, digits, dots and dashes, which every file system accepts."""
    return re.sub(r"[^\w.-]+", "_", text)
