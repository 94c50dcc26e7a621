import numpy as np
import pytest

from redetail.detection.turned import TurnedFaceDetector, turned_back
from redetail.region import Box, Detection
from tests.clips import clip_frames

MAN = Box(58, 24, 112, 98)
"""Of two_people's first frames, by eye."""


@pytest.mark.parametrize("turns", range(4))
def test_places_are_turned_back_with_their_pixels(turns: int) -> None:
    picture = np.zeros((30, 50), np.uint8)
    picture[5:9, 20:27] = 1
    rows, columns = np.nonzero(np.rot90(picture, turns))
    box = Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    found = turned_back(Detection(box, 0.9, landmarks=((box.x1, box.y1),)), turns, 50, 30)
    assert found.box == Box(20, 5, 27, 9)
    corner = ((20, 5), (27, 5), (27, 9), (20, 9))[turns]
    assert found.landmarks == (corner,)


@pytest.mark.parametrize("turns", range(4))
def test_a_face_is_found_whichever_way_up(turns: int) -> None:
    frame = np.ascontiguousarray(np.rot90(clip_frames("two_people")[0], turns))
    detector = TurnedFaceDetector()
    expected = turned_back(Detection(MAN, 1.0), (-turns) % 4, 350, 350).box
    sure = [one for one in detector.detect(frame) if one.confidence >= 0.6]
    assert max(one.box.iou(expected) for one in sure) > 0.6
    assert len(sure) == 2


def test_the_eyes_of_a_face_on_its_side_lie_above_one_another() -> None:
    frame = np.ascontiguousarray(np.rot90(clip_frames("guitarist")[0]))
    face = TurnedFaceDetector().detect(frame)[0]
    assert face.landmarks is not None
    (x1, y1), (x2, y2) = face.landmarks[:2]
    assert abs(y2 - y1) > 2 * abs(x2 - x1)
