"""One bad frame of a mask does not rule a clip."""

import numpy as np
import pytest

from redetail.region import Region, Size
from redetail.selection.subjects import numbered
from redetail.tracking import regions_from_masks
from redetail.tracking.mask_faults import unlike_frames, without_specks

FRAME = Size(640, 360)


def clip(frames: int = 20, step: float = 2.0) -> list[np.ndarray]:
    """A square of 100 pixels that walks to the right."""
    masks = []
    for index in range(frames):
        mask = np.zeros(FRAME.shape, np.uint8)
        x = round(40 + step * index)
        mask[60:160, x : x + 100] = 255
        masks.append(mask)
    return masks


def region(masks: list[np.ndarray]) -> Region:
    (found,) = regions_from_masks(masks, FRAME, 0, len(masks), 2.0)
    return found


CLEAN = region(clip())


@pytest.mark.parametrize("index", [0, 1, 9, 18, 19])
@pytest.mark.parametrize("fault", ["pixel", "column", "white", "blob"])
def test_one_bad_frame_does_not_size_the_window(index: int, fault: str) -> None:
    masks = clip()
    if fault == "pixel":
        masks[index][350, 630] = 255
    elif fault == "column":
        masks[index][:, 630] = 255
    elif fault == "white":
        masks[index][:] = 255
    else:
        masks[index][250:330, 500:600] = 255
    found = region(masks)
    assert found.size == CLEAN.size
    assert np.abs(found.path - CLEAN.path).max() < 4
    assert found.mask(9).sum() == pytest.approx(CLEAN.mask(9).sum(), rel=0.2)


def test_specks_in_every_frame_do_not_size_the_window() -> None:
    random, masks = np.random.default_rng(0), clip()
    for mask in masks:
        mask[random.integers(0, 360, 8), random.integers(0, 640, 8)] |= 17
    found = region(masks)
    assert found.size == CLEAN.size
    assert (found.boxes == CLEAN.boxes).all()
    assert all((found.mask(i) == CLEAN.mask(i)).all() for i in range(20))


def test_what_is_meant_stays() -> None:
    two = np.zeros((100, 200), bool)
    two[10:60, 10:60] = two[70:76, 150:156] = True
    assert without_specks(two) is two
    grain = np.random.default_rng(1).random((100, 200)) > 0.9
    assert without_specks(grain).sum() > 0.89 * grain.sum()
    line = np.zeros((100, 200), bool)
    line[:, 3] = line[50, 100:120] = True
    assert without_specks(line) is line


@pytest.mark.parametrize("step", [0, 3, 12])
def test_walking_and_jumping_subjects_are_not_unlike(step: int) -> None:
    walk = np.array([[x, 10, x + 50, 60] for x in range(0, 30 * step + 1, step or 1)][:30] or [[0, 10, 50, 60]], float)
    assert unlike_frames(walk) == {}
    jump = np.repeat([[0.0, 0, 50, 50], [400.0, 0, 450, 50]], 10, axis=0)
    assert unlike_frames(jump) == {}


def test_a_warning_names_the_frames(caplog: pytest.LogCaptureFixture) -> None:
    masks = clip()
    masks[7][:] = 255
    regions_from_masks(masks, FRAME, 100, 120, 2.0)
    assert "In frame 107, the mask differs from those of the neighbouring frames" in caplog.text


def test_a_cut_begins_a_new_region_of_the_same_subject() -> None:
    masks = [*clip(10, 0), *[np.roll(mask, 300, axis=1) for mask in clip(10, 0)]]
    regions = regions_from_masks(masks, FRAME, 5, 25, 2.0, cuts=[15])
    assert [(one.start, one.stop) for one in regions] == [(5, 15), (15, 25)]
    assert all(one.fixed for one in regions)
    (subject,) = numbered(regions)
    assert len(subject.regions) == 2
