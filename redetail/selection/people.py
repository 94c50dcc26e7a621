"""Finds people by their pictures: which of the subjects that were found is the person in a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from redetail.detection import Detector, load_detector
from redetail.detection.base import RGB
from redetail.errors import InputError
from redetail.identity import SAME, Descriptor, FaceDescriber, distance
from redetail.region import Detection
from redetail.selection.subjects import FoundSubject
from redetail.video import open_source

MIN_CONFIDENCE = 0.6
"""Least confidence that the face in a picture of a person needs."""
CLEARLY_LARGER = 2.0
"""How many times the area of the second largest face the largest one needs to be the one that is meant."""


def described_pictures(pictures: Sequence[Path]) -> Mapping[Path, Descriptor]:
    """The descriptor of the face in each picture.

    Raises :class:`~redetail.errors.InputError` for a picture that cannot be read, shows no face, or shows several faces
    of which none is clearly the largest.
    """
    detector, describer = load_detector("face"), FaceDescriber()
    described = {}
    for path in pictures:
        picture = next(iter(open_source(path).frames())).pixels
        described[path] = described_face(picture, path, detector, describer)
    return described


def described_face(picture: RGB, name: object, detector: Detector, describer: FaceDescriber) -> Descriptor:
    """The descriptor of the person whom a picture (H, W, 3) shows; errors call the picture ``name``.

    Raises :class:`~redetail.errors.InputError` like :func:`described_pictures`.
    """
    face = _main_face(name, detector.detect(picture))
    return describer.describe(picture, np.array(face.landmarks))


def _main_face(name: object, found: Sequence[Detection]) -> Detection:
    sure = [face for face in found if face.confidence >= MIN_CONFIDENCE]
    faces = sorted(sure, key=lambda face: -face.box.area)
    if not faces:
        raise InputError(f"{name} does not show a face clearly; give a picture of the person's face.")
    if len(faces) > 1 and faces[0].box.area < CLEARLY_LARGER * faces[1].box.area:
        raise InputError(f"{name} shows {len(faces)} faces of similar size; crop the picture to the person you mean.")
    return faces[0]


Picture = TypeVar("Picture")


def recognised(people: Mapping[Picture, Descriptor], subjects: Sequence[FoundSubject]) -> dict[int, Picture]:
    """The person that each subject shows, by the subject's number; subjects that are too small or show none of the
    people are missing.

    The nearest pairs are matched first. Since a person cannot be in two places, of several subjects in the same frame
    only the nearest is the person.
    """
    pairs = [
        (distance(descriptor, subject.descriptor), index, subject, picture)
        for index, subject in enumerate(subjects)
        if subject.descriptor is not None
        for picture, descriptor in people.items()
    ]
    taken: dict[Picture, list[FoundSubject]] = {picture: [] for picture in people}
    shown: dict[int, Picture] = {}
    for apart, _, subject, picture in sorted(pairs, key=lambda pair: pair[:2]):
        if apart < SAME and subject.number not in shown and not any(map(subject.meets, taken[picture])):
            shown[subject.number] = picture
            taken[picture].append(subject)
    return shown
