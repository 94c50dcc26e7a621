"""Pictures of masks: what is white, or what is opaque where something is transparent."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from redetail.selection import Search
from redetail.selection.masks import MaskSelection
from redetail.video import array_source
from redetail.video.span import Span

FRAMES = np.zeros((2, 48, 64, 3), np.uint8)


def found(path: Path) -> np.ndarray:
    """The mask of the subject in the frame, (H, W) 0..1."""
    (region,) = MaskSelection(path).find(Search(array_source(FRAMES), Span(), 64.0))
    assert region.size.shape == (48, 64)
    return region.mask(0)


@pytest.mark.parametrize("colour", [0, 255, 90])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_of_a_picture_with_transparent_parts_what_is_opaque(tmp_path: Path, colour: int, suffix: str) -> None:
    picture = np.full((48, 64, 4), colour, np.uint8)
    picture[..., 3] = 0
    picture[12:36, 16:48, 3] = 200
    cv2.imwrite(str(tmp_path / f"mask{suffix}"), picture)
    np.testing.assert_array_equal(found(tmp_path / f"mask{suffix}"), picture[..., 3] / np.float32(255))


def test_of_an_opaque_picture_what_is_white(tmp_path: Path) -> None:
    picture = np.zeros((48, 64, 4), np.uint8)
    picture[..., 3] = 255
    picture[12:36, 16:48, :3] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), picture)
    np.testing.assert_array_equal(found(tmp_path / "mask.png"), picture[..., 0] / np.float32(255))
