"""ComfyUI's progress bar, with a preview of what is being painted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from torch import Tensor

from redetail.comfy.sampling import OnStep, check_interrupted
from redetail.progress import Progress

logger = logging.getLogger(__name__)

_PARTS = 1000


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


class ClipBar:
    """One bar over the passes of all segments of a clip. ``shares`` are the stages of one segment and how long each
    takes of the whole. Every report lets ComfyUI's user stop: its own exception passes through the pipeline."""

    def __init__(self, segments: int, shares: dict[str, float]) -> None:
        import comfy.utils

        self._segments, self._shares = max(1, segments), shares
        self._done = self._number = 0
        self._preview: Any = None
        self._bar = comfy.utils.ProgressBar(_PARTS)

    def __call__(self, report: Progress) -> None:
        """A :class:`~redetail.progress.ProgressCallback`."""
        check_interrupted()
        names = list(self._shares)
        if report.stage not in names or not report.total:
            return
        before = sum(self._shares[name] for name in names[: names.index(report.stage)])
        inside = before + self._shares[report.stage] * min(1.0, report.done / report.total)
        self._show(int(_PARTS * (self._number + inside) / self._segments))

    def previewed(self, model: Any) -> Callable[[Tensor], None]:
        """Takes the latents of a step of ``model``; the next report shows them."""
        previewer = _previewer(model)

        def keep(x0: Tensor) -> None:
            self._preview = None if previewer is None else previewer.decode_latent_to_preview_image("JPEG", x0)

        return keep

    def next_segment(self) -> None:
        """A segment is done."""
        self._number += 1
        self._preview = None
        self._show(int(_PARTS * self._number / self._segments))

    def _show(self, done: int) -> None:
        self._done = max(self._done, min(done, _PARTS))  # a refiner starts to count anew: the bar never goes back
        self._bar.update_absolute(self._done, _PARTS, self._preview)


def _previewer(model: Any) -> Any:
    """ComfyUI's previewer for the latents of a model, or None."""
    try:
        import latent_preview
    except ImportError:  # only where comfy is used as a library, without its server
        return None
    return latent_preview.get_previewer(model.load_device, model.model.latent_format)
