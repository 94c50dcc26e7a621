"""ComfyUI's progress bar, with a preview of what is being painted."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from redetail.comfy.previews import Place
from redetail.comfy.sampling import check_interrupted
from redetail.engines.meter import STAGE
from redetail.progress import Progress

logger = logging.getLogger(__name__)

_PARTS = 1000
ENGINE_ALONE = {STAGE: 1.0}


class ClipBar:
    """One bar over the passes of all segments of a clip. ``shares`` are the stages of one segment and how long each
    takes of the whole; a segment re-diffused in memory has one, the engine's.

    Every report lets ComfyUI's user stop: its own exception passes through the pipeline."""

    def __init__(self, segments: int, shares: Mapping[str, float] = ENGINE_ALONE) -> None:
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

    def previewed(self, model: Any) -> Callable[[Place, Tensor], None]:
        """Takes the latents of a step of ``model``, and where their first frame lies; the next report shows them."""
        previewer = _previewer(model)

        def keep(place: Place, x0: Tensor) -> None:
            if previewer is not None:
                kind, picture, side = previewer.decode_latent_to_preview_image("JPEG", x0)
                self._preview = kind, place.shown(picture), side

        return keep

    def say(self, text: str) -> None:
        """Show a sentence at the node that runs, where ComfyUI can, and in the log."""
        logger.info("%s", text)
        server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
        node, send = getattr(server, "last_node_id", None), getattr(server, "send_progress_text", None)
        if node is not None and send is not None:
            send(text, node)

    def next_segment(self) -> None:
        """A segment is done."""
        self._number += 1
        self._preview = None
        self._show(int(_PARTS * self._number / self._segments))

    def _show(self, done: int) -> None:
        self._done = max(self._done, min(done, _PARTS))  # a refiner starts to count again: the bar never goes back
        self._bar.update_absolute(self._done, _PARTS, self._preview)


def _previewer(model: Any) -> Any:
    """ComfyUI's previewer for the latents of a model, or None."""
    try:
        import latent_preview
    except ImportError:  # only where comfy is used as a library, without its server
        return None
    return latent_preview.get_previewer(model.load_device, model.model.latent_format)
