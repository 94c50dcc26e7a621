"""The training scripts import one another by their plain names; here they do so for one test at a time."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")
pytest.importorskip("PIL")

TRAINING = Path(__file__).resolve().parents[2] / "training"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Import a script by name."""
    monkeypatch.syspath_prepend(str(TRAINING))
    yield importlib.import_module
    for path in TRAINING.glob("*.py"):
        sys.modules.pop(path.stem, None)


def textured(frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """A clip with edges and a slow pan, uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 2, (width + 4 * frames) // 8 + 2, 3)).astype(np.uint8)
    wide = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
    return np.stack([wide[:height, 4 * t : 4 * t + width] for t in range(frames)])


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A training set as prepare.py writes it: two clips and a still; one file is held out."""
    rows = []
    for number, (name, frames) in enumerate([("a.webp", 20), ("c.webp", 18), ("still.webp", 1), ("held3.webp", 20)]):
        clip = textured(frames, 200, 240, number)
        np.save(tmp_path / f"{name}.npy", clip)
        faces = {"0": [[60.0, 50.0, 40.0, 40.0]]} if number % 2 == 0 else {}
        rows.append({"name": name, "file": f"{name}.npy", "shape": list(clip.shape), "faces": faces})
    rows.append({"name": "api_x.webp", "left_out": "reserved by name"})
    (tmp_path / "index.json").write_text(json.dumps(rows))
    return tmp_path
