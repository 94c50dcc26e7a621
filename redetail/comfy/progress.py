"""ComfyUI's progress bar, with a preview of what is being painted."""

from __future__ import annotations

import logging
from typing import Any

from torch import Tensor

from redetail.comfy.sampling import OnStep

logger = logging.getLogger(__name__)


class StepBar:
    """One bar over the steps of all segments."""

    def __init__(self, segments: int, steps: int) -> None:
        import comfy.utils

        self._steps, self._total = steps, max(1, segments * steps)
        self._before = self._inside = 0
        self._bar = comfy.utils.ProgressBar(self._total)

    def on_step(self, model: Any) -> OnStep:
        """The callback of one segment, sampled with ``model``."""
        previewer = _previewer(model)
        self._inside = 0

        def report(done: int, total: int, x0: Tensor) -> None:
            # A refiner starts to count anew: the bar never goes back.
            self._inside = min(self._steps, self._inside + 1)
            preview = None if previewer is None else previewer.decode_latent_to_preview_image("JPEG", x0)
            self._bar.update_absolute(self._before + self._inside, self._total, preview)

        return report

    def next_segment(self) -> None:
        """A segment is done, however many steps it took."""
        self._before += self._steps
        self._bar.update_absolute(min(self._before, self._total), self._total)


def _previewer(model: Any) -> Any:
    """ComfyUI's previewer for the latents of a model, or None."""
    try:
        import latent_preview
    except ImportError:  # only where comfy is used as a library, without its server
        return None
    return latent_preview.get_previewer(model.load_device, model.model.latent_format)
