"""Counts model calls: this is how an engine reports its progress and notices that it should stop."""

from __future__ import annotations

from torch import Tensor

from redetail.progress import CancelToken, Progress, ProgressCallback
from redetail.sampling import Denoiser, Prediction, predict_both

STAGE = "enhance"


class Meter:
    """Reports every model call (or other ``unit``) of one request, out of an expected ``total`` (0: not known), and
    checks the request's cancel token."""

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
        """Record that another model call is done."""
        self.done += 1
        if self.total:
            self.total = max(self.total, self.done)
        self._report()
        self.check()

    def finish(self) -> None:
        """Record that all work is done, even if it did not take as many calls as expected."""
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
        """The x0 of the underlying denoiser."""
        x0 = self._denoiser(x, sigma)
        self._meter.tick()
        return x0

    def predict(self, x: Tensor, sigma: float, /) -> Prediction:
        """Both predictions of the underlying denoiser."""
        both = predict_both(self._denoiser, x, sigma)
        self._meter.tick()
        return both
