"""A small discriminator of clips: is a frame, next to its warped neighbour, an original or a restored one?

Flicker looks false to it. It judges pixels and, since it has little time to learn in, what a frozen network sees
of them (Sauer et al. 2021, "Projected GANs Converge Faster", arXiv:2111.01007). Relativistic average least squares
(Jolicoeur-Martineau 2018, arXiv:1807.00734).
"""

from __future__ import annotations

from typing import Any

import torch
from crispness import Features
from torch import Tensor, nn
from torch.nn import functional

Flows = tuple[Tensor, ...] | None


def _convolution(before: int, after: int, side: int, stride: int = 1) -> nn.Module:
    layer = nn.utils.parametrizations.spectral_norm(nn.Conv2d(before, after, side, stride, (side - 1) // 2))
    return nn.Sequential(layer, nn.LeakyReLU(0.2))


class Judge(nn.Module):
    """One number for each patch: of pixels (N, 12, h, w) and of two layers of features."""

    def __init__(self) -> None:
        super().__init__()
        last = nn.utils.parametrizations.spectral_norm(nn.Conv2d(64, 1, 3, 1, 1))
        self.pixels = nn.Sequential(
            _convolution(12, 32, 3),
            _convolution(32, 48, 4, 2),
            _convolution(48, 64, 4, 2),
            _convolution(64, 64, 3),
            last,
        )
        self.heads = nn.ModuleList(
            nn.Sequential(_convolution(32, 48, 3), nn.utils.parametrizations.spectral_norm(nn.Conv2d(48, 1, 3, 1, 1)))
            for _ in range(2)
        )

    def forward(self, pictures: Tensor, seen: list[Tensor]) -> list[Tensor]:
        """Judgements of pixels, then of each layer."""
        return [self.pixels(pictures), *(head(x) for head, x in zip(self.heads, seen[:2], strict=True))]


class Adversary:
    """The discriminator with its optimiser."""

    def __init__(self, features: Features, rate: float, device: torch.device) -> None:
        self.features = features
        self.judge = Judge().to(device)
        self.optimizer = torch.optim.Adam(self.judge.parameters(), lr=max(2 * rate, 2e-4), betas=(0.5, 0.99))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"judge": self.judge.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.judge.load_state_dict(state["judge"])
        self.optimizer.load_state_dict(state["optimizer"])

    def loss(
        self, soft: Tensor, clean: Tensor, output: Tensor, flows: Flows, seen: list[Tensor], wanted: list[Tensor]
    ) -> Tensor:
        """The loss of the network that is trained against it."""
        self.judge.requires_grad_(False)
        with torch.no_grad():
            true = self.judge(shown(soft, clean, flows), wanted)
        made = self.judge(shown(soft, output, flows), seen)
        self.judge.requires_grad_(True)
        parts = [(m - t.mean() - 1) ** 2 + (t - m.mean() + 1).square().mean() for m, t in zip(made, true, strict=True)]
        return torch.stack([part.mean() for part in parts]).mean() / 2

    def learn(
        self, soft: Tensor, clean: Tensor, output: Tensor, flows: Flows, seen: list[Tensor], wanted: list[Tensor]
    ) -> Tensor:
        """One step of the discriminator; returns its loss, which is 1 if it cannot tell the two apart."""
        true = self.judge(shown(soft, clean, flows), wanted)
        made = self.judge(shown(soft, output, flows), [x.detach() for x in seen])
        parts = [
            ((t - m.mean() - 1).square().mean() + (m - t.mean() + 1).square().mean()) / 2
            for m, t in zip(made, true, strict=True)
        ]
        loss = torch.stack(parts).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def shown(soft: Tensor, clip: Tensor, flows: Flows) -> Tensor:
    """(B*F, 12, h, w): the crop, the frame, its fine detail, and its difference from the warped frame before.

    The first frame of a clip has no such difference.
    """
    moved = clip.clone()
    if flows is not None:
        before = functional.grid_sample(
            clip[:, :-1].flatten(0, 1), flows[0].flatten(0, 1), padding_mode="border", align_corners=True
        ).unflatten(0, flows[0].shape[:2])
        moved = torch.cat([clip[:, :1], torch.where(flows[1] > 0, before, clip[:, 1:])], dim=1)
    own, change = clip.flatten(0, 1), (clip - moved).flatten(0, 1)
    fine = own - functional.avg_pool2d(functional.pad(own, (1, 1, 1, 1), mode="reflect"), 3, 1)
    return torch.cat([soft.flatten(0, 1), own, 4 * fine, 4 * change], dim=1)
