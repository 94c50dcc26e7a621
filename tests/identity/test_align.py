import numpy as np
import pytest

from redetail.errors import RegionError
from redetail.identity.align import MEAN_FACE, PADDING, aligned_face, similarity
from tests.clips import clip_frames


@pytest.mark.parametrize("seed", range(20))
def test_a_similarity_is_found_again(seed: int) -> None:
    random = np.random.default_rng(seed)
    points, (x, y) = random.normal(size=(5, 2)) * 20, random.uniform(-500, 500, 2)
    scale, angle = random.uniform(0.2, 5), random.uniform(-np.pi, np.pi)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = similarity(points, points @ turn.T + (x, y))
    assert np.allclose(matrix, np.column_stack([turn, (x, y)]), atol=1e-6)


def ramps(width: int = 400, height: int = 300) -> np.ndarray:
    """A picture that says where each pixel is: red grows by 1 of 65535 a pixel to the right ... times 100."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns * 100, rows * 100, rows * 0], axis=2).astype(np.uint16)


@pytest.mark.parametrize("scale", [1.0, 0.37, 2.3])
def test_what_lies_at_the_landmarks_comes_to_the_mean_face(scale: float) -> None:
    there = (MEAN_FACE + PADDING) / (1 + 2 * PADDING) * 150
    landmarks = there / 150 * 100 * scale + (120, 40)
    face = aligned_face(ramps(), landmarks, 150) * 65535 / 100 + 0.5  # centres of pixels are at half a pixel
    for (x, y), (column, row) in zip(landmarks, there - 0.5, strict=True):
        i, j = int(row), int(column)
        measured = face[i : i + 2, j : j + 2, :2].astype(float)
        down, across = row - i, column - j
        rows = measured[0] * (1 - down) + measured[1] * down
        assert rows[0] * (1 - across) + rows[1] * across == pytest.approx([x, y], abs=0.6 * scale)


def test_only_the_part_around_the_face_is_read() -> None:
    frame, landmarks = clip_frames("guitarist")[0], (MEAN_FACE * 60) + (180, 50)
    around = aligned_face(frame[20:200, 120:300], landmarks - (120, 20), 150)
    assert np.abs(aligned_face(frame, landmarks, 150) - around).max() < 1e-5


def test_outside_the_picture_its_border_repeats() -> None:
    flat = np.full((50, 50, 3), 200, np.uint8)
    for corner in ((-40, -40), (40, 40), (500, 10)):
        assert np.allclose(aligned_face(flat, MEAN_FACE * 60 + corner, 150), 200 / 255)


@pytest.mark.parametrize("landmarks", [np.zeros((4, 2)), np.ones((5, 2)), np.full((5, 2), np.nan)])
def test_landmarks_that_are_not_a_face_are_refused(landmarks: np.ndarray) -> None:
    with pytest.raises(RegionError, match="five landmarks"):
        aligned_face(ramps(), landmarks, 150)
