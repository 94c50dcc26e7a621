"""Where the recorded vectors lie, and what their files say in words.

``REDETAIL_GOLDEN=/path pytest tests/sampling tests/engines tests/comfy`` runs the tests on another set: constants of
the toys, shapes, seeds, schedule functions and opacities are read from its files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

GOLDEN = Path(os.environ.get("REDETAIL_GOLDEN") or Path(__file__).parent / "golden")
# Latents in model units over latents as the VAE gives them, for every recording of Stable Diffusion.
LATENT_SCALE = 0.18215


def schedule_function(text: str) -> Callable[[int], list[float]]:
    """The scheduler function that a recording states as ``... -> a*(b/a)^(i/(n-1)) for i=0..n-1, then 0; ...``."""
    found = re.search(r"-> ([\d.]+)\*\(([\d.]+)/\1\)\^\(i/\(n-1\)\) for i=0\.\.n-1, then 0", text)
    assert found, f"not a schedule function that is known here: {text}"
    high, low = float(found[1]), float(found[2])
    return lambda steps: [*(high * (low / high) ** (i / (steps - 1)) for i in range(steps)), 0.0]


def paste_settings(case: dict[str, object]) -> list[tuple[str, int, int]]:
    """(key, feather, alpha) of every recorded paste of a case of node.json."""
    found = [(key, re.fullmatch(r"paste_feather(\d+)_alpha(\d+)", key)) for key in case]
    return [(key, int(match[1]), int(match[2])) for key, match in found if match]
