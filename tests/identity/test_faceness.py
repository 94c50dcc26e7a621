import json
from pathlib import Path

import numpy as np
import pytest

from redetail.identity import FaceDescriber, faceness
from redetail.identity.align import MEAN_FACE
from redetail.identity.faceness import _discriminant
from tests.clips import clip_frames

FACES = json.loads((Path(__file__).parents[1] / "golden" / "faces.json").read_text())
GUITAR = (70.0, 230.0, 90.0)  # x, y and side of a square on the guitar in `guitarist`


def test_it_is_a_plane_between_two_kinds_of_descriptors() -> None:
    direction, offset = _discriminant()
    assert direction.shape == (128,)
    assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-5)
    assert faceness(np.zeros(128, np.float32)) == pytest.approx(offset)
    assert faceness(-offset * direction) == pytest.approx(0, abs=1e-6)


def test_faces_score_more_than_a_guitar() -> None:
    describer = FaceDescriber()
    faces = [describer.describe(clip_frames(face["clip"])[face["frame"]], face["landmarks"]) for face in FACES]
    large = [one for one, face in zip(faces, FACES, strict=True) if face["clip"] != "busker"]
    x, y, side = GUITAR
    guitar = describer.describe(clip_frames("guitarist")[0], MEAN_FACE * side + (x, y))
    assert len(large) >= 4
    assert faceness(np.mean(large, axis=0)) > 0.02
    assert faceness(guitar) < faceness(np.mean(large, axis=0)) - 0.03
