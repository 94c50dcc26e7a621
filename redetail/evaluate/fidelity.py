"""How close a picture is to its reference: PSNR, SSIM, and VMAF of a clip."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.errors import InputError
from redetail.imaging.resample import to_float
from redetail.optional import require

_SIDE = 11  # pixels of SSIM's window


def psnr(picture: NDArray[Any], reference: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in dB, infinite for equal pictures.

    Both arrays must have the same shape and dtype: uint8, uint16 or float 0..1. Raises
    :class:`~redetail.errors.InputError` if shapes or dtypes differ.
    """
    _check_alike(picture, reference)
    if np.array_equal(picture, reference):
        return float("inf")
    own, other = (to_float(each).astype(np.float64) for each in (picture, reference))
    return float(_metrics().peak_signal_noise_ratio(other, own, data_range=1.0))


def ssim(picture: NDArray[Any], reference: NDArray[Any]) -> float:
    """Structural similarity, averaged over all positions and channels; 1 for equal pictures (Wang et al. 2004).

    Pictures are (h, w) or (h, w, C) with sides of at least 11 pixels; the Gaussian window has 11 pixels and sigma 1.5.
    Raises :class:`~redetail.errors.InputError` if shapes or dtypes differ, and for smaller pictures.
    """
    _check_alike(picture, reference)
    if min(picture.shape[:2]) < _SIDE:
        raise InputError(
            f"SSIM needs pictures of at least {_SIDE}x{_SIDE} pixels, not {picture.shape[1]}x{picture.shape[0]}."
        )
    similarity = _metrics().structural_similarity(
        *(to_float(each).astype(np.float64) for each in (picture, reference)),
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=-1 if picture.ndim == 3 else None,
    )
    return float(similarity)


def vmaf_program() -> str | None:
    """The FFmpeg inside the package imageio-ffmpeg, which measures VMAF; None if it is not installed."""
    try:
        import imageio_ffmpeg
    except ImportError:
        return None
    return str(imageio_ffmpeg.get_ffmpeg_exe())


class VmafMeter:
    """VMAF (Netflix 2016, its default model) of frames against their originals, given one by one.

    Frames wait in a temporary folder, which is removed when the context ends. ``size``: (width, height) of all frames.
    """

    def __init__(self, program: str, size: tuple[int, int]) -> None:
        self._program, self._size = program, size
        self._folder = tempfile.TemporaryDirectory(prefix="redetail-")
        self._files = [Path(self._folder.name) / name for name in ("clip", "original")]
        self.frames = 0

    def add(self, picture: NDArray[Any], original: NDArray[Any]) -> None:
        """Take one frame of the clip and of the original, (h, w, 3) uint8, uint16 or float 0..1."""
        for file, pixels in zip(self._files, (picture, original), strict=True):
            with file.open("ab") as stream:
                stream.write(np.rint(np.clip(to_float(pixels), 0, 1) * 255).astype(np.uint8).tobytes())
        self.frames += 1

    def figure(self, run: Callable[..., Any] = subprocess.run) -> float | None:
        """The mean over all frames, 0..100; None if there are no frames, or if the program cannot measure VMAF."""
        if not self.frames:
            return None
        inputs = [
            part
            for file in self._files
            for part in ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "{}x{}".format(*self._size), "-i", file.name)
        ]
        filters = "[0:v]format=yuv444p[a];[1:v]format=yuv444p[b];[a][b]libvmaf=log_fmt=json:log_path=log.json"
        command = [self._program, "-v", "error", "-nostdin", *inputs, "-lavfi", filters, "-f", "null", "-"]
        try:
            run(command, cwd=self._folder.name, check=True, capture_output=True)
            log = json.loads((Path(self._folder.name) / "log.json").read_text(encoding="utf-8"))
            return float(log["pooled_metrics"]["vmaf"]["mean"])
        except (OSError, subprocess.CalledProcessError, ValueError, KeyError):
            return None  # an FFmpeg without libvmaf: only this figure is missing

    def close(self) -> None:
        """Remove the frames."""
        self._folder.cleanup()


def _metrics() -> ModuleType:
    return require("skimage.metrics")


def _check_alike(picture: NDArray[Any], reference: NDArray[Any]) -> None:
    if picture.shape != reference.shape or picture.dtype != reference.dtype or picture.size == 0:
        raise InputError(
            f"The pictures must have the same size and depth, but one has the shape {picture.shape} ({picture.dtype}) "
            f"and the other {reference.shape} ({reference.dtype})."
        )
