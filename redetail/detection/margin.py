"""The network of dlib's ``mmod_human_face_detector``, which slides a window of 80x80 pixels over a picture.

It was trained with max-margin object detection (King, "Max-Margin Object Detection", 2015); dlib takes a window with a
score above 0 for a face. The weights are in the public domain (CC0).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).parents[1] / "bundled" / "second_opinion" / "second_opinion.safetensors"
STRIDE, FIRST = 8, 14
"""Pixels from one window to the next, and from the picture's edge to the centre of the first window."""

_MEAN = (122.782, 117.001, 104.298)  # red, green and blue, which dlib subtracts


class MarginNetwork(nn.Module):
    """Seven convolutions. The batch normalisation of dlib's network is merged into them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 16, 5, 2), nn.ReLU()),
            *(nn.Conv2d(16, 32, 5, 2), nn.ReLU()),
            *(nn.Conv2d(32, 32, 5, 2), nn.ReLU()),
            *(nn.Conv2d(32, 45, 5, padding=2), nn.ReLU()),
            *(nn.Conv2d(45, 45, 5, padding=2), nn.ReLU()),
            *(nn.Conv2d(45, 45, 5, padding=2), nn.ReLU()),
            nn.Conv2d(45, 1, 9, padding=4),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, h, w) in levels 0..255 -> scores (N, h', w') of windows that are STRIDE pixels apart."""
        mean = torch.tensor(_MEAN).view(1, 3, 1, 1)
        scores: Tensor = self.layers((pictures - mean) / 256)[:, 0]
        return scores

    def scores(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (N, h', w') of the windows of RGB pictures (N, h, w, 3) float32 0..1."""
        with torch.inference_mode():
            scores: NDArray[np.float32] = self(torch.from_numpy(pictures).permute(0, 3, 1, 2) * 255).numpy()
        return scores


def load_margin_network(path: Path = WEIGHTS) -> MarginNetwork:
    """The network with its weights, on the CPU, for inference."""
    with torch.device("meta"):  # no initial weights, since those in the file replace them
        network = MarginNetwork()
    network.load_state_dict({name: values.float() for name, values in load_file(path).items()}, assign=True)
    return network.eval().requires_grad_(False)
