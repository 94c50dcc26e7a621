"""The network that describes a face: a residual network of 29 convolutions that maps a picture to 128 numbers.

Architecture and weights are dlib's ``dlib_face_recognition_resnet_model_v1`` (King 2017; the weights are in the public
domain, CC0), after He et al. 2016. The descriptors of one person's faces are less than about 0.6 apart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = Path(__file__).parents[1] / "bundled" / "face_descriptor" / "descriptor.safetensors"
LENGTH = 128
"""Numbers in a descriptor."""

_MEAN = (122.782, 117.001, 104.298)  # red, green and blue, which dlib subtracts
# (input channels, output channels, whether the block halves the picture) of every block, stage by stage.
_STAGES = (
    ((32, 32, False), (32, 32, False), (32, 32, False)),
    ((32, 64, True), (64, 64, False), (64, 64, False), (64, 64, False)),
    ((64, 128, True), (128, 128, False), (128, 128, False)),
    ((128, 256, True), (256, 256, False), (256, 256, False), (256, 256, True)),
)


class _Convolution(nn.Module):
    """A convolution, and a scale and an offset for each of its channels."""

    def __init__(self, before: int, after: int, side: int, stride: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, side, stride, padding)
        self.scale = nn.Parameter(torch.ones(after))
        self.offset = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C', h', w')."""
        convolved: Tensor = self.conv(x)
        return torch.addcmul(self.offset[:, None, None], convolved, self.scale[:, None, None])

    def merged(self) -> nn.Conv2d:
        """The convolution alone, with the scale and the offset in its weights; for inference only."""
        conv, scale = self.conv, self.scale.detach()
        assert conv.bias is not None  # as it was made
        conv.weight.data *= scale[:, None, None, None]
        conv.bias.data = conv.bias.data * scale + self.offset.detach()
        return conv


class _Block(nn.Module):
    """Two convolutions with a shortcut; if the block halves the size, the shortcut averages its input 2x2."""

    def __init__(self, before: int, after: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = _Convolution(before, after, 3, 2 if halves else 1, 0 if halves else 1)
        self.second = _Convolution(after, after, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C', h', w')."""
        y = self.second(functional.relu(self.first(x)))
        if self.halves:
            x = functional.avg_pool2d(x, 2)
            x, y = _padded(x, y), _padded(y, x)
        return functional.relu(x + y)


def _padded(x: Tensor, other: Tensor) -> Tensor:
    """x (N, C, h, w), padded with zeros to the channels, rows and columns of ``other``."""
    missing = [max(0, there - here) for here, there in zip(x.shape[1:], other.shape[1:], strict=True)]
    return functional.pad(x, (0, missing[2], 0, missing[1], 0, missing[0]))


class FaceNetwork(nn.Module):
    """Describes faces; ``features`` gives the outputs of the stages, which measure how alike two pictures look."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _Convolution(3, 32, 7, 2, 0)
        self.stages = nn.ModuleList(nn.Sequential(*(_Block(*shape) for shape in stage)) for stage in _STAGES)
        self.last = nn.Linear(256, LENGTH, bias=False)

    def features(self, faces: Tensor) -> list[Tensor]:
        """Faces (N, 3, h, w) in levels 0..255 -> the output of the first layer and of each stage, finest first."""
        mean = torch.tensor(_MEAN, device=faces.device).view(1, 3, 1, 1)
        x = functional.relu(self.first((faces - mean) / 256))
        seen = [x]
        x = functional.max_pool2d(x, 3, 2)
        for stage in self.stages:
            x = stage(x)
            seen.append(x)
        return seen

    def forward(self, faces: Tensor) -> Tensor:
        """Faces (N, 3, 150, 150) in levels 0..255 -> descriptors (N, 128), not normalised."""
        described: Tensor = self.last(self.features(faces)[-1].mean(dim=(2, 3)))
        return described

    def described(self, face: NDArray[np.float32]) -> NDArray[np.float32]:
        """The descriptor (128,) of one aligned face (150, 150, 3) float32 0..1."""
        with torch.inference_mode():
            pixels = torch.from_numpy(face).permute(2, 0, 1)[None] * 255  # channels last, like the weights
            return np.asarray(self(pixels)[0].numpy())


def load_face_network(path: Path = WEIGHTS) -> FaceNetwork:
    """The network with its weights, on the CPU, for inference.

    The scales and offsets are merged into the weights of the convolutions, which are stored channels last: on one core,
    that takes a third off the time for a face.
    """
    with torch.device("meta"):  # no initial weights, since those in the file replace them
        network = FaceNetwork()
    with safe_open(path, framework="pt") as file:
        spread = {name: tuple(map(float, text.split())) for name, text in (file.metadata() or {}).items()}
        values = {name: _values(file.get_tensor(name), *spread[name]) for name in file.keys()}  # noqa: SIM118
    network.load_state_dict(values, assign=True)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _Convolution):
                setattr(module, name, child.merged())
    return network.eval().requires_grad_(False)


def _values(kept: Tensor, scale: float, low: float) -> Tensor:
    """Weights from the integers in the file, with kernels stored channels last."""
    if kept.ndim == 4:
        kept = kept.contiguous(memory_format=torch.channels_last)
    return kept.float().mul_(scale).add_(low)
