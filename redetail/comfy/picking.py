"""Which subjects go on, by name or by a picture of a person, and the thumbnails to choose them by."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.comfy.convert import frame_size, segment_for
from redetail.comfy.follow import region_of
from redetail.comfy.stills import black_square
from redetail.comfy.tracked import TrackedSeg
from redetail.detection import Detector, load_detector
from redetail.errors import UnknownNameError
from redetail.identity import FaceDescriber, mean_descriptor
from redetail.identity.descriptor import MIN_SIDE
from redetail.imaging import resample
from redetail.imaging.resample import from_float
from redetail.region import Box, Detection, Region, Size
from redetail.selection.people import MIN_CONFIDENCE, described_face, recognised
from redetail.selection.subjects import FoundSubject

logger = logging.getLogger(__name__)

THUMBNAIL = 160
"""Longest side of a thumbnail, in pixels."""
LOOKS = 3
"""Frames in which a subject without a descriptor is looked at."""


@dataclass(frozen=True)
class Subject:
    """What a name means: the indices of its segments, several where one person is seen in several stretches."""

    name: str
    places: tuple[int, ...]


def named_subjects(segments: Sequence[Any]) -> list[Subject]:
    """The subjects of SEGS in their order, each with a unique name.

    The name is the label; segments of other packs that share one are numbered. Commas in labels become spaces, since
    they separate names.
    """
    people: dict[object, list[int]] = {}
    for index, segment in enumerate(segments):
        person = segment.region.person if isinstance(segment, TrackedSeg) else None
        key = ("alone", index) if person is None else (person, segment.label)
        people.setdefault(key, []).append(index)
    names = _unique([_cleaned(segments[places[0]].label) or "segment" for places in people.values()])
    return [Subject(name, tuple(places)) for name, places in zip(names, people.values(), strict=True)]


def chosen_subjects(choice: str, subjects: Sequence[Subject]) -> list[Subject]:
    """The subjects that ``choice`` names, separated by commas, in its order and each once; all where it names none.

    Raises :class:`~redetail.errors.UnknownNameError` for a name that none of the subjects has.
    """
    names = [name for name in dict.fromkeys(map(_cleaned, choice.split(","))) if name]
    if not names or not subjects:
        return list(subjects)
    known = {subject.name: subject for subject in subjects}
    for name in names:
        if name not in known:
            raise UnknownNameError("subject", name, known)
    return [known[name] for name in names]


def shown_subjects(
    pictures: Tensor, subjects: Sequence[Subject], segments: Sequence[Any], header: tuple[int, int], frames: Tensor
) -> list[Subject]:
    """Those of the subjects whom pictures (N, H, W, C) show, one person each.

    Raises :class:`~redetail.errors.InputError` for a picture with no face, or with several of similar size.
    """
    detector, describer = load_detector("face"), FaceDescriber()
    people = {
        index: described_face(_bytes(picture), f"Reference picture {index + 1}", detector, describer)
        for index, picture in enumerate(pictures)
    }
    found = [
        FoundSubject(number, tuple(
            _described(_region(segments[place], header, frames, place), frames, detector, describer)
            for place in subject.places
        ))
        for number, subject in enumerate(subjects)
    ]  # fmt: skip
    known = recognised(people, found)
    if not known:
        logger.warning("The reference pictures show none of the %d subjects; the clip stays as it is.", len(subjects))
    return [subject for number, subject in enumerate(subjects) if number in known]


def thumbnail(segment: Any, header: tuple[int, int], frames: Tensor) -> Tensor:
    """The subject in its window, (1, h, w, 3) float32: where it is largest, or in the middle of the clip."""
    size = frame_size(frames)
    if isinstance(segment, TrackedSeg):
        region = segment.fitted(frames.numpy(), "image_frames").region
        inside = int(np.prod(region.boxes[:, 2:] - region.boxes[:, :2], axis=1).argmax())
        index, window = region.start + inside, region.window(inside).clipped(size)
    else:
        height, width = header if all(header) else size.shape
        whole = Box(*(float(side) for side in segment.crop_region))
        index, window = len(frames) // 2, whole.scaled(size.width / width, size.height / height).clipped(size)
    if window is None:
        return black_square()
    scale = THUMBNAIL / max(window.width, window.height)
    shown = Size(max(1, round(window.width * scale)), max(1, round(window.height * scale)))
    return torch.from_numpy(resample.crop(frames[index, ..., :3].numpy(), window, shown))[None]


def frames_seen(subject: Subject, segments: Sequence[Any], frames: int) -> int:
    """In how many frames of the clip a subject is seen."""
    seen = [segments[place] for place in subject.places]
    return sum(len(segment.region) if isinstance(segment, TrackedSeg) else frames for segment in seen)


def _cleaned(label: object) -> str:
    return " ".join(str(label).replace(",", " ").split())


def _unique(labels: Sequence[str]) -> list[str]:
    """Each label once: those that occur several times get the next number that makes a free name."""
    taken = {label for label in labels if labels.count(label) == 1}
    names = []
    for label in labels:
        if labels.count(label) > 1:
            label = next(name for name in (f"{label} {number}" for number in count(1)) if name not in taken)
            taken.add(label)
        names.append(label)
    return names


def _region(segment: Any, header: tuple[int, int], frames: Tensor, number: int) -> Region:
    if isinstance(segment, TrackedSeg):
        return segment.fitted(frames.numpy(), "image_frames").region
    return region_of(segment_for(segment, header, frames, number), len(frames))


def _described(region: Region, frames: Tensor, detector: Detector, describer: FaceDescriber) -> Region:
    """The region with a descriptor of its face, where it shows one that is large enough."""
    if region.descriptor is not None:
        return region
    found = []
    for inside in sorted({round(place) for place in np.linspace(0, len(region) - 1, LOOKS + 2)[1:-1]}):
        x1, y1, x2, y2 = _whole_pixels(region.window(inside), frame_size(frames))
        picture = _bytes(frames[region.start + inside, y1:y2, x1:x2])
        face = _face_in(detector.detect(picture), region.box(inside).moved(-x1, -y1))
        if face is not None:
            found.append(describer.describe(picture, np.array(face.landmarks)))
    return replace(region, descriptor=mean_descriptor(found))


def _face_in(faces: Sequence[Detection], box: Box) -> Detection | None:
    """The largest face whose centre lies in the box, if it is sure and large enough to be distinguished."""
    sure = [
        face
        for face in faces
        if face.confidence >= MIN_CONFIDENCE
        and min(face.box.width, face.box.height) >= MIN_SIDE
        and box.x1 <= face.box.center[0] <= box.x2
        and box.y1 <= face.box.center[1] <= box.y2
    ]
    return max(sure, key=lambda face: face.box.area, default=None)


def _whole_pixels(window: Box, size: Size) -> tuple[int, int, int, int]:
    """The pixels that a window touches."""
    x1, y1, x2, y2 = window.as_tuple()
    return max(0, int(x1)), max(0, int(y1)), min(size.width, int(np.ceil(x2))), min(size.height, int(np.ceil(y2)))


def _bytes(picture: Tensor) -> NDArray[np.uint8]:
    """A picture (H, W, C) 0..1 as (H, W, 3) bytes."""
    return from_float(picture[..., :3].float().nan_to_num().clamp(0, 1).numpy(), np.uint8)
