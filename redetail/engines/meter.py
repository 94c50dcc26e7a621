"""Counting model calls: how an engine says where it is, and where it notices that it should stop."""

from __future__ import annotations

from torch import Tensor

from redetail.progress import CancelToken, Progress, ProgressCallback
from redetail.sampling import Denoiser, Prediction, predict_both

STAGE = "enhance"


class Meter:
    """Reports every model call, or other ``unit``, of one request, ``total`` expected (0: not known), and serves its
    cancel token."""

    def __init__(
        self, progress: ProgressCallback, cancel: CancelToken | None, total: int, unit: str = "model calls"
    ) -> None:
        self._progress, self._cancel, self._unit = progress, cancel, unit
        self.done, self.total = 0, total
        self.check()

    def check(self) -> None:
        """Raise :class:`~redetail.errors.Cancelled` if a stop was requested."""
        if self._cancel is not None:
            self._cancel.check()

    def tick(self) -> None:
        """One model call more is done."""
        self.done += 1
        if self.total:
            self.total = max(self.total, self.done)
        self._report()
        self.check()

    def finish(self) -> None:
        """All work is done, whether or not it took as many calls as expected."""
        if self.done != self.total:
            self.done = self.total = max(self.done, self.total, 1)
            self._report()

    def _report(self) -> None:
        self._progress(Progress(STAGE, self.done, self.total, self._unit))


class MeteredDenoiser:
    """A denoiser whose calls are counted."""

    def __init__(self, denoiser: Denoiser, meter: Meter) -> None:
        self._denoiser, self._meter = denoiser, meter

    def __call__(self, x: Tensor, sigma: float, /) -> Tensor:
        """The x0 of the denoiser behind."""
        x0 = self._denoiser(x, sigma)
        self._meter.tick()
        return x0

    def predict(self, x: Tensor, sigma: float, /) -> Prediction:
        """Both predictions of the denoiser behind."""
        both = predict_both(self._denoiser, x, sigma)
        self._meter.tick()
        return both
