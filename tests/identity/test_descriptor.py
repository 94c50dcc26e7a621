import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from redetail.detection import load_detector
from redetail.identity import FaceDescriber, distance, mean_descriptor
from redetail.identity.network import WEIGHTS
from tests.clips import clip_frames

FACES = json.loads((Path(__file__).parents[1] / "golden" / "faces.json").read_text())


@pytest.fixture(scope="module")
def describer() -> FaceDescriber:
    return FaceDescriber()


@pytest.fixture(scope="module")
def described(describer: FaceDescriber) -> list[np.ndarray]:
    return [describer.describe(clip_frames(face["clip"])[face["frame"]], face["landmarks"]) for face in FACES]


def test_descriptors_are_those_of_dlib(described: list[np.ndarray]) -> None:
    # 8-bit weights move a descriptor by 0.04 to 0.05; two pictures of one person differ by 0.24 and more.
    for ours, face in zip(described, FACES, strict=True):
        assert ours.shape == (128,)
        assert ours.dtype == np.float32
        assert distance(ours, np.array(face["descriptor"], np.float32)) < 0.06


def test_two_frames_of_a_person_are_nearer_than_two_people(described: list[np.ndarray]) -> None:
    people = [(face["clip"], face["landmarks"][0][0] > 200) for face in FACES if face["clip"] == "two_people"]
    faces = [one for one, face in zip(described, FACES, strict=True) if face["clip"] == "two_people"]
    pairs = list(itertools.combinations(range(len(faces)), 2))
    same = [distance(faces[i], faces[j]) for i, j in pairs if people[i] == people[j]]
    other = [distance(faces[i], faces[j]) for i, j in pairs if people[i] != people[j]]
    assert max(same) + 0.2 < min(other)


def test_sixteen_bits_see_the_same(describer: FaceDescriber) -> None:
    face = FACES[0]
    frame = clip_frames(face["clip"])[face["frame"]]
    wide = describer.describe(frame.astype(np.uint16) * 257, face["landmarks"])
    assert distance(wide, describer.describe(frame, face["landmarks"])) < 1e-4


def test_the_detector_gives_the_landmarks(describer: FaceDescriber) -> None:
    face = FACES[0]
    found = load_detector("face").detect(clip_frames(face["clip"])[face["frame"]])
    assert np.abs(np.array(found[0].landmarks) - face["landmarks"]).max() < 0.05


def test_the_mean_of_descriptors() -> None:
    assert mean_descriptor([]) is None
    mean = mean_descriptor([np.zeros(128, np.float32), np.ones(128, np.float32)])
    assert mean is not None
    assert (mean == 0.5).all()


def test_the_weights_are_those_of_the_card() -> None:
    card = (WEIGHTS.parent / "README.md").read_text()
    content = WEIGHTS.read_bytes()
    assert hashlib.sha256(content).hexdigest() in card
    assert f"{len(content):,} bytes" in card
