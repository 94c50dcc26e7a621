import numpy as np
import pytest

from redetail.detection.hands import PALMS
from redetail.detection.people import POSES
from redetail.detection.ssd import AnchorLayout, Candidate, merged
from redetail.region import Box


def test_anchors_lie_in_the_middle_of_their_cells() -> None:
    layout = AnchorLayout(side=8, strides=(4, 8), per_cell=(2, 1))
    assert layout.centres.tolist() == [[2, 2], [2, 2], [6, 2], [6, 2], [2, 6], [2, 6], [6, 6], [6, 6], [4, 4]]


@pytest.mark.parametrize(("layout", "count"), [(PALMS, 2016), (POSES, 2254)])
def test_the_published_layouts_have_as_many_anchors_as_the_networks_have_outputs(
    layout: AnchorLayout, count: int
) -> None:
    assert layout.centres.shape == (count, 2)
    assert layout.centres[0].tolist() == [4, 4]
    assert layout.centres[-1].tolist() == [layout.side - layout.strides[-1] / 2] * 2


def test_offsets_are_pixels_from_the_anchor() -> None:
    layout = AnchorLayout(side=8, strides=(4,), per_cell=(1,))
    places = np.zeros((4, 8), np.float32)
    places[2] = [1, -1, 4, 2, 0, 0, 3, 5]
    (found,) = layout.decode(places, np.array([[-9], [-9], [0], [-9]], np.float32), 0.5)
    assert found.score == 0.5
    assert found.box == Box(1, 4, 5, 6)  # around (2 + 1, 6 - 1)
    assert found.points.tolist() == [[2, 6], [5, 11]]


def test_scores_do_not_overflow() -> None:
    layout = AnchorLayout(side=4, strides=(4,), per_cell=(2,))
    scores = np.array([[-1e30], [1e30]], np.float32)
    assert [one.score for one in layout.decode(np.zeros((2, 4), np.float32), scores, 0.0)] == [pytest.approx(0), 1.0]


def candidate(x: float, score: float) -> Candidate:
    return Candidate(Box(x, 0, x + 10, 10), score, np.array([[x, 0.0]]))


def test_what_overlaps_is_averaged_by_score_and_the_rest_stays() -> None:
    first, second = merged([candidate(40, 0.3), candidate(0, 0.75), candidate(2, 0.25)], 0.5)
    assert first.score == 0.75
    assert first.box == Box(0.5, 0, 10.5, 10)
    assert first.points.tolist() == [[0.5, 0]]
    assert second.box == Box(40, 0, 50, 10)


def test_candidates_without_a_size_end_the_search() -> None:
    flat, other = (Candidate(Box(x, 3, x, 3), 0.5, np.zeros((0, 2))) for x in (3, 4))
    assert len(merged([flat, other], 0.3)) == 2
