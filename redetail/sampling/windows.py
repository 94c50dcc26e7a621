"""A denoiser for any number of frames, made from one that takes only a window of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from redetail.geometry.context import ContextWindow, Frames
from redetail.progress import CancelToken
from redetail.sampling.denoiser import Denoiser, Prediction, predict_both


class WindowedDenoiser:
    """Evaluates every context window and blends their clean latents, at every model call.

    ``model_for(frames)`` gives the denoiser of some frames; it slices the conditions, hints and crops that exist once
    per frame. The constructor calls it once per window. Blending at every call, rather than once at the end, keeps
    neighbouring windows consistent. ``cancel`` is checked before each window.
    """

    def __init__(
        self,
        model_for: Callable[[Frames], Denoiser],
        windows: Sequence[ContextWindow],
        cancel: CancelToken | None = None,
    ) -> None:
        self._parts = [(window, model_for(window.frames)) for window in windows]
        self._cancel = cancel

    def __call__(self, x: Tensor, sigma: float, /) -> Tensor:
        """x0 (F, C, h, w); F must be the number of frames that the windows cover."""
        x0 = torch.zeros_like(x)
        for window, denoiser in self._parts:
            self._check()
            _add(x0, window, denoiser(x[window.frames], sigma))
        return x0

    def predict(self, x: Tensor, sigma: float, /) -> Prediction:
        """The guided x0 and the negative one, both blended."""
        both = Prediction(torch.zeros_like(x), torch.zeros_like(x))
        for window, denoiser in self._parts:
            self._check()
            for total, part in zip(both, predict_both(denoiser, x[window.frames], sigma), strict=True):
                _add(total, window, part)
        return both

    def _check(self) -> None:
        if self._cancel is not None:
            self._cancel.check()


def _add(total: Tensor, window: ContextWindow, part: Tensor) -> None:
    weights = torch.from_numpy(window.weights).to(part)
    total[window.frames] += part * weights.view(-1, 1, 1, 1)
