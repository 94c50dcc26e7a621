"""The degradation chain: what happened to a clip before it reached the model, drawn once for all its frames.

optional blur -> shrink by 1..4 -> optional noise -> H.264 or JPEG -> back to the full size. A share of the clips stays
nearly clean, so that the model learns to keep what is sharp. The picture after each kind of damage is kept: their
differences are what a model has to add for the tasks sharpen, denoise and deblock.
"""

from __future__ import annotations

import io
import math
import platform
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av
import cv2
import numpy as np

KERNELS = {
    "area": cv2.INTER_AREA,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
    "nearest": cv2.INTER_NEAREST,
}

# With more threads the bits differ from run to run, and so they do with the AVX-512 routines of x264's macroblock
# trees.
EQUAL_BITS = "threads=1:lookahead-threads=1:sliced-threads=0"
if platform.machine() in ("x86_64", "AMD64"):
    EQUAL_BITS += ":asm=SSE2"


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """One draw of the chain; the same for every frame of a clip.

    Attributes:
        factor: size is divided by this, 1..4.
        down, up: names of KERNELS for the two resizes.
        blur: standard deviation of a Gaussian in pixels of the full size, 0 for none.
        noise: standard deviation of Gaussian noise in 0..255 units at the small size, 0 for none.
        grey_noise: whether the noise is the same in the three colours.
        codec: "h264", "jpeg" or "none", at the small size; quality is a CRF or JPEG's 0..100.
        seed: of the noise.
    """

    factor: float = 1.0
    down: str = "area"
    up: str = "cubic"
    blur: float = 0.0
    noise: float = 0.0
    grey_noise: bool = True
    codec: str = "none"
    quality: int = 23
    seed: int = 0


class Stages(NamedTuple):
    """A clip at the small size, (F, h, w, 3) uint8, after each kind of damage."""

    soft: np.ndarray  # blurred and shrunk
    noisy: np.ndarray  # with noise
    coded: np.ndarray  # and compressed: what a model gets


# (share, smallest factor, largest factor, weights of h264, jpeg and none). Most clips are what low-resolution video
# and small faces are made of: half the size through H.264, a third through JPEG.
KINDS = (
    (0.36, 2.0, 2.0, (0.95, 0.0, 0.05)),
    (0.20, 3.0, 3.4, (0.0, 0.95, 0.05)),
    (0.12, 1.2, 3.5, (0.5, 0.3, 0.2)),
    (0.12, 2.0, 3.4, (0.0, 0.0, 1.0)),
    (0.12, 1.0, 1.0, (0.6, 0.25, 0.15)),
)
UNTOUCHED = 0.08  # share of undamaged clips, so that the model leaves sharp pictures alone


def draw_quality(rng: np.random.Generator, codec: str) -> int:
    """A CRF of 18..32, mostly a high one, or a JPEG quality of 60..90; one in ten is lighter, 12..17 or 91..98.

    Where more is lost, there is more to restore, and so more to learn.
    """
    light = rng.random() < 0.1
    if codec == "jpeg":
        return int(rng.integers(91, 99) if light else rng.integers(60, 91))
    return int(rng.integers(12, 18) if light else rng.integers(18, 33, 2).max())


def draw_degradation(rng: np.random.Generator) -> Degradation:
    """A random chain, of one of `KINDS`, or none at all."""
    if rng.random() < UNTOUCHED:
        return Degradation()
    shares = np.array([kind[0] for kind in KINDS])
    shares /= shares.sum()
    _, low, high, codecs = KINDS[rng.choice(len(KINDS), p=shares)]
    factor = math.exp(rng.uniform(math.log(low), math.log(high)))
    if high == 3.4 and rng.random() < 0.4:
        factor = high
    codec = str(rng.choice(["h264", "jpeg", "none"], p=codecs))
    return Degradation(
        factor=factor,
        codec=codec,
        quality=draw_quality(rng, codec),
        seed=int(rng.integers(2**31)),
        down=str(rng.choice(["area", "linear", "cubic", "lanczos"], p=[0.7, 0.1, 0.15, 0.05])),
        up=str(rng.choice(["cubic", "linear", "lanczos"], p=[0.85, 0.1, 0.05])),
        blur=float(rng.uniform(0.3, 1.6)) if rng.random() < (0.45 if factor == 1.0 else 0.1) else 0.0,
        noise=float(rng.uniform(1, 10)) if rng.random() < 0.15 else 0.0,
        grey_noise=bool(rng.random() < 0.5),
    )


def resize(clip: np.ndarray, size: tuple[int, int], kernel: str) -> np.ndarray:
    """clip (F, h, w, 3) uint8 -> (F, height, width, 3) with size = (height, width)."""
    if clip.shape[1:3] == size:
        return clip
    return np.stack([cv2.resize(frame, size[::-1], interpolation=KERNELS[kernel]) for frame in clip])


def add_noise(clip: np.ndarray, strength: float, grey: bool, seed: int) -> np.ndarray:
    """Gaussian noise, different in every frame."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((*clip.shape[:3], 1 if grey else 3), dtype=np.float32) * strength
    return np.clip(clip + noise + 0.5, 0, 255).astype(np.uint8)


def through_jpeg(clip: np.ndarray, quality: int) -> np.ndarray:
    """Every frame through JPEG at quality 0..100."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    files = [cv2.imencode(".jpg", frame[..., ::-1], flags)[1] for frame in clip]
    return np.stack([cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1] for file in files])


def through_h264(clip: np.ndarray, crf: int) -> np.ndarray:
    """The clip through a real H.264 encoder at this CRF; odd sizes are padded by repeating the border."""
    count, height, width = clip.shape[:3]
    padded = np.pad(clip, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        options = {"crf": str(crf), "preset": "veryfast", "x264-params": EQUAL_BITS}
        stream = container.add_stream("libx264", rate=Fraction(24), options=options)
        stream.height, stream.width, stream.pix_fmt = padded.shape[1], padded.shape[2], "yuv420p"
        stream.thread_count = 1
        for number, frame in enumerate(padded):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        container.streams.video[0].thread_count = 1
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames[:count])[:, :height, :width]


def compress(clip: np.ndarray, codec: str, quality: int) -> np.ndarray:
    """The clip through the named codec; "none" changes nothing."""
    if codec == "h264":
        return through_h264(clip, quality)
    return through_jpeg(clip, quality) if codec == "jpeg" else clip


def damage(clip: np.ndarray, how: Degradation) -> Stages:
    """clip (F, h, w, 3) uint8 -> its stages at the small size; equal draws give equal results."""
    size = (clip.shape[1], clip.shape[2])
    soft = clip
    if how.blur:
        soft = np.stack([cv2.GaussianBlur(frame, (0, 0), how.blur) for frame in soft])
    soft = resize(soft, (max(16, round(size[0] / how.factor)), max(16, round(size[1] / how.factor))), how.down)
    noisy = add_noise(soft, how.noise, how.grey_noise, how.seed) if how.noise else soft
    return Stages(soft, noisy, compress(noisy, how.codec, how.quality))


def degrade(clip: np.ndarray, how: Degradation) -> np.ndarray:
    """clip (F, h, w, 3) uint8 -> the degraded clip at its own size again."""
    return resize(damage(clip, how).coded, (clip.shape[1], clip.shape[2]), how.up)
