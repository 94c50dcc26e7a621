"""The contract that every engine keeps, on ComfyUI's objects."""

from __future__ import annotations

from types import ModuleType
from typing import Any

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
