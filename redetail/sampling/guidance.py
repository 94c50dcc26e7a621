"""Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598)."""

from __future__ import annotations

from typing import Generic, TypeVar

from torch import Tensor

from redetail.sampling.denoiser import ConditionalModel, Prediction

C = TypeVar("C")


class Guidance(Generic[C]):
    """A denoiser from a conditional model: D(negative) + cfg * (D(positive) - D(negative)).

    ``cfg`` 1 evaluates only the positive condition; any other value evaluates both, in one call of the model.
    """

    def __init__(self, model: ConditionalModel[C], positive: C, negative: C, cfg: float) -> None:
        self.model, self.positive, self.negative, self.cfg = model, positive, negative, cfg

    def __call__(self, x: Tensor, sigma: float, /) -> Tensor:
        """The guided x0 (F, C, h, w)."""
        if self.cfg == 1:
            (x0,) = self.model(x, sigma, (self.positive,))
            return x0
        return self.predict(x, sigma).guided

    def predict(self, x: Tensor, sigma: float, /) -> Prediction:
        """The guided x0 and the negative one; always evaluates both conditions."""
        positive, negative = self.model(x, sigma, (self.positive, self.negative))
        return Prediction(negative + self.cfg * (positive - negative), negative)
