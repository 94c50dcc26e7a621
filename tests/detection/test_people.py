import hashlib

import numpy as np
import pytest

from redetail.detection.litert import FOLDER
from redetail.detection.people import PersonDetector, around_body, part_at
from redetail.detection.ssd import Candidate
from redetail.region import Box, Size
from tests.clips import clip_frames


@pytest.fixture(scope="module")
def detector() -> PersonDetector:
    return PersonDetector()


# Boxes read off the pictures by eye.
@pytest.mark.parametrize(
    ("clip", "frame", "people"),
    [
        ("guitarist", 0, [Box(47, 0, 350, 350)]),
        ("busker", 0, [Box(97, 67, 303, 350)]),
        ("two_people", 0, [Box(0, 0, 138, 350), Box(225, 28, 350, 350)]),
    ],
)
def test_people_are_found_where_they_are(detector: PersonDetector, clip: str, frame: int, people: list[Box]) -> None:
    found = detector.detect(clip_frames(clip)[frame])
    assert len(found) == len(people)
    for person in people:
        assert max(one.box.iou(person) for one in found) > 0.75
    assert {one.label for one in found} == {"person"}


def test_nobody_is_nobody(detector: PersonDetector) -> None:
    assert detector.detect(np.zeros((90, 160, 3), np.uint8)) == []
    assert detector.detect(np.full((1, 1, 3), 255, np.uint8)) == []


def test_the_square_is_that_of_the_body_inside_the_frame() -> None:
    pose = Candidate(Box(40, 10, 60, 30), 0.9, np.array([[50.0, 60.0], [50.0, 20.0]]))
    square = around_body(pose, Size(200, 80))
    assert (square.x, square.y, square.side) == (50, 45, 80)  # x 10 to 90, y 10 (the head) to 80


def test_the_part_at_the_head_is_the_person() -> None:
    shown = np.zeros((10, 10), bool)
    shown[:, :3] = shown[:, 6:] = True
    part = part_at(shown, Box(5, 2, 8, 4))
    assert part is not None
    assert part[:, 6:].all()
    assert not part[:, :6].any()
    assert part_at(shown, Box(3.4, 2, 5.4, 4)) is None


def test_the_networks_are_those_of_the_card() -> None:
    card = (FOLDER / "README.md").read_text()
    files = sorted(FOLDER.glob("*.tflite"))
    assert len(files) == 5
    for file in files:
        line = next(line for line in card.splitlines() if f"`{file.name}`" in line)
        assert hashlib.sha256(file.read_bytes()).hexdigest() in line
        assert f"{file.stat().st_size:,} bytes" in line
