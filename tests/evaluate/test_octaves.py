"""The finest octave: about 1 where amplitudes fall as 1/f; less for soft pictures, more for noise."""

import numpy as np
import pytest

from redetail.evaluate.pictures import finest_octave
from redetail.region import Box
from tests.pipeline.test_remarks import SIDE, softened, textured


@pytest.mark.parametrize("side", [40, 80, 160])
def test_octaves_of_equal_amplitude_and_a_picture_without_its_finest(side: int) -> None:
    box, picture = Box(10, 10, 10 + side, 10 + side), textured()
    assert 0.9 < finest_octave(picture, box) < 1.1
    assert finest_octave(softened(picture), box) < 0.35


def test_noise_adds_to_it_and_nothing_is_nothing() -> None:
    box, picture = Box(0, 0, SIDE, SIDE), textured()
    noisy = np.clip(picture + np.random.default_rng(0).normal(0, 10, picture.shape), 0, 255).astype(np.uint8)
    assert finest_octave(noisy, box) > 1.1 * finest_octave(picture, box)
    assert finest_octave(np.full_like(picture, 90), box) == 0
    assert finest_octave(picture, Box(0, 0, 5, 30)) == 0
