"""The dial for how much a restoration model invents: from the crop, through the faithful network, to the inventive one.

The inventive network was trained from the weights of the faithful one, so a mixture of their weights is also a working
network, with behaviour between the two (Wang et al. 2018, "ESRGAN", arXiv:1809.00219).
"""

from __future__ import annotations

import copy

import torch

from redetail.engines.restoration.network import RestorationUNet

FAITHFUL = 0.5
"""The position on the dial at which only the faithful network works, if there is an inventive one."""


class Dial:
    """Chooses the network, and the share of its residual that counts, by a ``denoise`` from 0 to 1."""

    def __init__(self, faithful: RestorationUNet, inventive: RestorationUNet | None) -> None:
        self._faithful, self._inventive = faithful, inventive
        self._mixed: tuple[float, RestorationUNet] | None = None

    def share(self, denoise: float) -> float:
        """The share of the predicted residual that counts, 0 to 1."""
        return denoise if self._inventive is None else min(1.0, denoise / FAITHFUL)

    def network(self, denoise: float) -> RestorationUNet:
        """The network to use; the last mixture is kept."""
        if self._inventive is None or denoise <= FAITHFUL:
            return self._faithful
        if denoise >= 1:
            return self._inventive
        known = self._mixed
        if known is None or known[0] != denoise:
            part = (denoise - FAITHFUL) / (1 - FAITHFUL)
            self._mixed = known = denoise, mixture(self._faithful, self._inventive, part)
        return known[1]


def mixture(faithful: RestorationUNet, inventive: RestorationUNet, part: float) -> RestorationUNet:
    """A network whose weights are those of ``faithful``, moved by ``part`` of the way towards those of
    ``inventive``."""
    mixed = copy.deepcopy(faithful)
    with torch.no_grad():
        for weight, other in zip(mixed.parameters(), inventive.parameters(), strict=True):
            weight.lerp_(other, part)
    return mixed
