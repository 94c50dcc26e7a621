"""The nodes around segments give what the original gave on random segments, bit for bit, in 24 calls of each.

Only digests are kept: inputs come from a seeded generator, and none of these nodes computes anything that rounds.
"""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.comfy.random_calls import FILTERED, Inputs, calls, calls_per_frame, digest, ours

RECORDED = Path(__file__).parent / "data" / "segs_nodes.json"
CALLS = {name: list(group) for name, group in groupby(calls(), key=lambda call: call[0]) if name not in FILTERED}


@pytest.mark.parametrize("name", CALLS)
def test_segments_are_those_that_were_recorded(name: str) -> None:
    recorded: list[Any] = json.loads(RECORDED.read_text())[name]
    for (_, number, inputs), expected in zip(CALLS[name], recorded, strict=True):
        given = ours(name, inputs)  # ours answers where the original failed, too
        if expected is not None:
            assert digest(given) == expected, f"{name} {number}"


@pytest.mark.parametrize(
    ("name", "inputs"), calls_per_frame(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_masks_for_each_frame_are_no_error(name: str, inputs: Inputs) -> None:
    (kind, *parts) = ours(name, inputs)[0]
    segments = parts[1] if kind == "SEGS" else [(kind, *parts)]
    assert segments
    # Tiles have one mask, of what is masked in any frame.
    assert {np.ndim(fields[1]) for _, fields in segments} == {2 if name == "ImpactMakeTileSEGS" else 3}
