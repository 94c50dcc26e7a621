"""The contract that every engine keeps, on ComfyUI's objects."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from redetail.engines import Engine
from tests.engines import test_contract as contract

# An engine over ComfyUI takes its context windows from the model, not from the settings.
ABOUT_WINDOWS = {"test_more_frames_than_a_context_window", "test_an_overlap_as_long_as_the_window_is_refused"}
globals().update(
    {name: test for name, test in vars(contract).items() if name.startswith("test_") and name not in ABOUT_WINDOWS}
)


@pytest.fixture(scope="module")
def engine(toys: ModuleType) -> Engine:
    from redetail.comfy.convert import pipe_from
    from redetail.comfy.engine import ComfyEngine

    pipe: Any = toys.pipe(toys.model_of(toys.BLIND))
    return ComfyEngine(pipe_from(pipe))


def test_what_the_vae_loses_is_given_back(engine: Engine) -> None:
    """source + decode(refined) - decode(encode(source)); the toy's VAE keeps the mean of each 8x8 block."""
    crops = contract.some_crops(engine)
    frames, height, width, _ = crops.shape
    blocks = crops.reshape(frames, height // 8, 8, width // 8, 8, 3).mean((2, 4))
    there_and_back = blocks.repeat(8, 1).repeat(8, 2)
    plain, cancelled = (contract.enhanced(engine, crops, cancel_vae=on) for on in (False, True))
    assert np.abs(plain - cancelled).max() > 0.1
    # What was lost waits in half precision.
    np.testing.assert_allclose(cancelled, np.clip(plain + crops - there_and_back, 0, 1), atol=1e-3)
