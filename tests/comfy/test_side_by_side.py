"""The nodes around segments beside those of the Impact Pack, on random segments: equal wherever it does not fail.

REDETAIL_COMFYUI and REDETAIL_IMPACT_PACK (see test_other_packs.py) let it run; UPDATE_SNAPSHOTS=1 writes digests of
what the pack gave, which test_recorded_segs_nodes.py compares without it. Recorded from revision 727295b5 (7.10.6).
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.comfy.comfyui import CHECKOUT, PYTHON
from tests.comfy.random_calls import FILTERED, MAKERS, ROUNDS, calls, calls_per_frame, digest, nonsense, ours
from tests.comfy.test_other_packs import PACK
from tests.comfy.test_recorded_segs_nodes import RECORDED

pytestmark = pytest.mark.skipif(
    CHECKOUT not in os.environ or PACK not in os.environ, reason=f"{CHECKOUT} and {PACK} name no ComfyUI and no pack"
)

PER_FRAME = "masks for each frame"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, tuple[str, Any]]]]:
    """For every id the inputs of its calls, and what the original answers; also that of ``calls_per_frame``."""
    asked = calls()
    folder = tmp_path_factory.mktemp("original")
    for name in ("custom_nodes", "user"):
        (folder / name).mkdir()
    script = Path(__file__).with_name("original_nodes.py")
    command = [os.environ.get(PYTHON, sys.executable), script, os.environ[CHECKOUT], os.environ[PACK], folder]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [str(part) for part in command],
        input=pickle.dumps([(name, inputs) for name, _, inputs in asked] + calls_per_frame()),
        capture_output=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    results: dict[str, list[tuple[Any, tuple[str, Any]]]] = {name: [] for name in MAKERS}
    answered = pickle.loads(done.stdout)
    for (name, _, inputs), answer in zip(asked, answered[: len(asked)], strict=True):
        results[name].append((inputs, answer))
    results[PER_FRAME] = list(zip(calls_per_frame(), answered[len(asked) :], strict=True))
    return results


def test_masks_for_each_frame_are_an_error_of_the_original(answers: Any) -> None:
    """As docs/comfyui.md says; ours takes them, see test_recorded_segs_nodes.py."""
    assert {name: outcome for (name, _), (outcome, _) in answers[PER_FRAME]} == {
        name: "failed" for name, _ in calls_per_frame()
    }


def assert_equal(one: Any, other: Any, where: str) -> None:
    """Equal in value: lists and tuples, arrays and tensors alike; masks that are filtered to float32's rounding."""
    if isinstance(other, np.ndarray | torch.Tensor):
        first, second = np.asarray(one), np.asarray(other)
        # A single mask may be (h, w) or (1, h, w).
        first, second = (array[0] if array.ndim == 3 and len(array) == 1 else array for array in (first, second))
        assert first.dtype == second.dtype, where
        rounded = where.split()[0] in FILTERED
        np.testing.assert_allclose(first, second, rtol=0, atol=2e-6 if rounded else 0, err_msg=where)
    elif isinstance(other, list | tuple):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_equal(*pair, f"{where}[{index}]")
    else:
        assert one == other, where


@pytest.mark.parametrize("name", MAKERS)
def test_segments_are_those_of_the_original(answers: Any, name: str) -> None:
    failed = []
    for index, (inputs, (outcome, value)) in enumerate(answers[name]):
        result = ours(name, inputs)  # ours never fails on these
        if outcome == "failed" or nonsense(name, inputs, result):
            failed.append(value)
        else:
            assert_equal(result, value, f"{name} {index}")
    # The original's method does not know the name of its own input.
    assert len(failed) == ROUNDS if name == "ImpactDilate_Mask_SEG_ELT" else len(failed) <= ROUNDS // 4, failed


def test_what_is_recorded_is_what_the_original_gives(answers: Any) -> None:
    given = {
        name: [
            None if outcome == "failed" or nonsense(name, inputs, ours(name, inputs)) else digest(value)
            for inputs, (outcome, value) in answers[name]
        ]
        for name in MAKERS
        if name not in FILTERED
    }
    if "UPDATE_SNAPSHOTS" in os.environ:
        RECORDED.write_text(json.dumps(given, indent=1) + "\n")
    assert json.loads(RECORDED.read_text()) == given
