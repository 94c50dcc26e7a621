"""Figures of a restored clip against its original: PSNR, VMAF, flow-warped error."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redetail.evaluate.temporal import WarpedError
from redetail.region import Box

Clip = NDArray[np.uint8]


def psnr(clip: Clip, original: Clip) -> float:
    """In dB over all frames."""
    return float(-10 * np.log10(((clip / 255.0 - original / 255.0) ** 2).mean()))


def warped_error(clip: Clip, original: Clip) -> float:
    """Mean squared difference in levels between each frame and its predecessor moved along the original's flow."""
    measure = WarpedError()
    whole = Box(0, 0, clip.shape[2], clip.shape[1])
    for index, (before, after) in enumerate(zip(original, clip, strict=True)):
        measure.add(index, before, after, whole)
    error = measure.figures.output_mse
    return float("nan") if error is None else error


def ffmpeg() -> str:
    """The program inside imageio-ffmpeg, which has libvmaf. Raises ModuleNotFoundError with the remedy."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise ModuleNotFoundError("VMAF needs the package imageio-ffmpeg: pip install imageio-ffmpeg.") from error
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def vmaf(clip: Clip, original: Clip, program: str) -> float:
    """VMAF (Netflix 2016, its default model), mean over the frames, 0..100."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs: list[str] = []
        for key, pictures in (("output", clip), ("original", original)):
            (folder / key).write_bytes(pictures.tobytes())
            size = f"{pictures.shape[2]}x{pictures.shape[1]}"
            inputs += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", "24", "-i", key]
        filters = "[0:v]format=yuv444p[a];[1:v]format=yuv444p[b];[a][b]libvmaf=log_fmt=json:log_path=log.json"
        command = [program, "-v", "error", *inputs, "-lavfi", filters, "-f", "null", "-"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return float(json.loads((folder / "log.json").read_text())["pooled_metrics"]["vmaf"]["mean"])
