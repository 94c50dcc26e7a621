"""The degradation chain: what happened to a clip before it reached the model, drawn once for all its frames.

optional blur -> shrink by 1..4 -> optional noise -> H.264 or JPEG -> back to the full size -> optionally
H.264 or JPEG once more. A share of the clips stays nearly clean, so that the model learns to keep what is sharp.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction

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

ONE_THREAD = "threads=1:lookahead-threads=1:sliced-threads=0"  # more threads give other bits from run to run


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """One draw of the chain; the same for every frame of a clip.

    Attributes:
        factor: size is divided by this, 1..4.
        down, up: names of KERNELS for the two resizes.
        blur: standard deviation of a Gaussian in pixels of the full size, 0 for none.
        noise: standard deviation of Gaussian noise in 0..255 units at the small size, 0 for none.
        grey_noise: whether the noise is the same in the three colours.
        codec: "h264", "jpeg" or "none", at the small size; quality is a CRF (18..36) or JPEG's 40..95.
        again, again_quality: the same once more at the full size.
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
    again: str = "none"
    again_quality: int = 23
    seed: int = 0


def draw_codec(rng: np.random.Generator, weights: tuple[float, float, float]) -> tuple[str, int]:
    """A codec by (h264, jpeg, none) weights and its quality."""
    codec = str(rng.choice(["h264", "jpeg", "none"], p=weights))
    return codec, int(rng.integers(18, 37) if codec == "h264" else rng.integers(40, 96))


def draw_degradation(rng: np.random.Generator) -> Degradation:
    """A random chain: 12 % nearly clean, otherwise softened by 1..4 with most weight around 2."""
    seed = int(rng.integers(2**31))
    if rng.random() < 0.12:
        return Degradation(codec="h264", quality=int(rng.integers(12, 22)), seed=seed)
    kind = rng.random()
    factor = 1.0 if kind < 0.12 else 2.0 if kind < 0.45 else float(np.exp(rng.uniform(np.log(1.2), np.log(3.5))))
    codec, quality = draw_codec(rng, (0.55, 0.35, 0.10))
    again, again_quality = draw_codec(rng, (0.30, 0.07, 0.63))
    return Degradation(
        factor=factor,
        codec=codec,
        quality=quality,
        again=again,
        again_quality=again_quality,
        seed=seed,
        down=str(rng.choice(["area", "linear", "cubic", "lanczos"], p=[0.5, 0.15, 0.25, 0.1])),
        up=str(rng.choice(["cubic", "linear", "lanczos"], p=[0.7, 0.2, 0.1])),
        blur=float(rng.uniform(0.3, 1.6)) if rng.random() < (0.7 if factor == 1.0 else 0.15) else 0.0,
        noise=float(rng.uniform(1, 8)) if rng.random() < 0.2 else 0.0,
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
        options = {"crf": str(crf), "preset": "veryfast", "x264-params": ONE_THREAD}
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


def degrade(clip: np.ndarray, how: Degradation) -> np.ndarray:
    """clip (F, h, w, 3) uint8 -> the degraded clip, same shape; equal draws give equal results."""
    size = (clip.shape[1], clip.shape[2])
    small = (max(16, round(size[0] / how.factor)), max(16, round(size[1] / how.factor)))
    result = clip
    if how.blur:
        result = np.stack([cv2.GaussianBlur(frame, (0, 0), how.blur) for frame in result])
    result = resize(result, small, how.down)
    if how.noise:
        result = add_noise(result, how.noise, how.grey_noise, how.seed)
    result = resize(compress(result, how.codec, how.quality), size, how.up)
    return compress(result, how.again, how.again_quality)
