"""What an engine gives back is checked, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from redetail.engines import FakeEngine, Request, enhance_arrays
from redetail.errors import InputError, ModelError, RegionError
from redetail.settings import Settings

CROPS = np.full((3, 8, 16, 3), 0.5, np.float32)
MASK = np.ones((1, 8, 16), np.float32)


class Wrong(FakeEngine):
    """Writes what ``give`` writes."""

    def __init__(self, give: Callable[[Request], None]) -> None:
        super().__init__()
        self.give = give

    def run(self, request: Request) -> None:
        self.give(request)


@pytest.mark.parametrize(
    "give",
    [
        lambda request: request.write(0, CROPS[:, :4]),
        lambda request: request.write(0, CROPS[..., :1]),
        lambda request: request.write(0, np.concatenate([CROPS, CROPS])),
        lambda request: request.write(1, CROPS[:2]),
        lambda request: [request.write(0, CROPS), request.write(0, CROPS)],
        lambda request: request.write(0, (CROPS * 255).astype(np.uint8)),
    ],
    ids=["size", "channels", "too many", "a gap", "twice", "integers"],
)
def test_pixels_of_another_shape_or_place_name_the_engine(give: Callable[[Request], None]) -> None:
    with pytest.raises(
        ModelError,
        match=(r"the engine fake returned pixels of shape .* it must return all frames in order, as floating point"),
    ):
        enhance_arrays(Wrong(give), CROPS, MASK, Settings())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_no_black_frames(value: float) -> None:
    spoiled = CROPS.copy()
    spoiled[1, 3, 4, 1] = value
    with pytest.raises(ModelError, match="he engine fake produced values that are not finite from frame 0 on"):
        enhance_arrays(Wrong(lambda request: request.write(0, spoiled)), CROPS, MASK, Settings())


@pytest.mark.parametrize("frames", [0, 2])
def test_frames_that_are_missing_name_the_engine(frames: int) -> None:
    with pytest.raises(ModelError, match=f"The engine fake returned {frames} of 3 frames"):
        enhance_arrays(Wrong(lambda request: frames and request.write(0, CROPS[:frames])), CROPS, MASK, Settings())


def test_the_result_is_the_callers_own() -> None:
    buffer = CROPS.copy()

    def reuse(request: Request) -> None:
        for index in range(3):
            buffer[:] = index
            request.write(index, buffer[:1])

    result: NDArray[np.float32] = enhance_arrays(Wrong(reuse), CROPS, MASK, Settings())
    assert result[:, 0, 0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("shape", [(8, 16, 3), (0, 8, 16, 3), (3, 8, 16, 4)])
def test_crops_that_are_no_pictures(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"shape \(frames, height, width, 3\)"):
        enhance_arrays(FakeEngine(), np.zeros(shape, np.float32), MASK, Settings())


def test_another_number_of_masks() -> None:
    with pytest.raises(RegionError, match="3 crops of 16x8 pixels need"):
        enhance_arrays(FakeEngine(), CROPS, np.ones((2, 8, 16), np.float32), Settings())


def test_hints_of_another_number() -> None:
    with pytest.raises(InputError, match="The hints 'edges' are"):
        enhance_arrays(FakeEngine(), CROPS, MASK, Settings(), hints={"edges": CROPS[:2]})
