"""Figures of a restored clip against its original: PSNR, VMAF, flow-warped error, detail, overshoot."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from redetail.evaluate.temporal import WarpedError
from redetail.imaging.sharpness import LUMA
from redetail.region import Box

Clip = NDArray[np.uint8]


def psnr(clip: Clip, original: Clip) -> float:
    """In dB over all frames."""
    return float(-10 * np.log10(((clip / 255.0 - original / 255.0) ** 2).mean()))


def warped_error(clip: Clip, original: Clip) -> float:
    """Mean squared difference in levels between each frame and its predecessor warped along the original's flow."""
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


def luma(clip: Clip) -> NDArray[np.float32]:
    """(F, h, w, 3) -> (F, h, w), BT.601, 0..255."""
    return np.asarray(clip @ LUMA, np.float32)


def detail(clip: Clip, original: Clip) -> float:
    """Mean absolute Laplacian of luma over the original's: 1 means as much fine structure as the original has."""
    own, there = (np.abs(laplacian(luma(x))).mean() for x in (clip, original))
    return float(own / there)


def laplacian(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Four neighbours less four times the middle, (F, h, w) -> (F, h-2, w-2)."""
    middle, up, down = picture[:, 1:-1, 1:-1], picture[:, :-2, 1:-1], picture[:, 2:, 1:-1]
    return np.asarray(up + down + picture[:, 1:-1, :-2] + picture[:, 1:-1, 2:] - 4 * middle, np.float32)


def high_correlation(clip: Clip, original: Clip) -> float:
    """Correlation with the original of luma above a quarter of the sampling rate: 1 means the same structure."""
    own, there = (high_frequencies(luma(x)) for x in (clip, original))
    return float((own * there).sum() / np.sqrt((own**2).sum() * (there**2).sum()))


def high_frequencies(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The part above a quarter of the sampling rate in any direction, (F, h, w). Borders are mirrored."""
    height, width = picture.shape[1:]
    mirrored = np.pad(picture, ((0, 0), (0, height), (0, width)), mode="symmetric")
    rows, columns = np.fft.fftfreq(2 * height), np.fft.rfftfreq(2 * width)
    kept = np.hypot(rows[:, None], columns[None]) > 0.25
    high = np.fft.irfft2(np.fft.rfft2(mirrored) * kept, s=mirrored.shape[1:])
    return np.asarray(high[:, :height, :width], np.float32)


def overshoot(clip: Clip, original: Clip) -> float:
    """How far luma swings beyond its plateaus at the sharpest edges, in levels, mean over the frames.

    The edges are the 2% of pixels with the steepest gradient in the original. Across each, what lies 1.5 to 3.5 pixels
    from it is compared with what lies 6 pixels from it, on the bright side and on the dark one.
    """
    swings = []
    for frame, steep in zip(luma(clip), luma(original), strict=True):
        rows, columns, across = edges(steep)

        def along(distance: float, at: Any = (rows, columns), to: Any = across, picture: Any = frame) -> Any:
            x, y = at[1] + distance * to[1], at[0] + distance * to[0]
            return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]

        near = (1.5, 2.0, 2.5, 3.0, 3.5)
        bright = np.max([along(d) for d in near], axis=0) - along(6)
        dark = along(-6) - np.min([along(-d) for d in near], axis=0)
        swings.append(np.maximum(bright, 0).mean() / 2 + np.maximum(dark, 0).mean() / 2)
    return float(np.mean(swings))


def edges(picture: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Rows, columns (n, 1) and upward directions (2, n, 1) of the steepest 2% of pixels."""
    smooth = cv2.GaussianBlur(picture, (0, 0), 1.0)
    slope = np.stack([cv2.Sobel(smooth, cv2.CV_32F, 0, 1), cv2.Sobel(smooth, cv2.CV_32F, 1, 0)])
    size = np.hypot(*slope)
    rows, columns = np.nonzero(size >= np.quantile(size, 0.98))
    across = slope[:, rows, columns] / np.maximum(size[rows, columns], 1e-6)
    as_column = (values.astype(np.float32)[:, None] for values in (rows, columns))
    return (*as_column, across.astype(np.float32)[..., None])  # type: ignore[return-value]
