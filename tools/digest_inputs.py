"""Files that the command lines of ``tools/digests.py`` read, made the same way every time."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray


def write_inputs(folder: Path, clips: Path) -> None:
    """Videos, folders of pictures, masks, a job and weights; ``clips`` holds the real clips."""
    write_videos(folder)
    write_pictures(folder)
    write_documents(folder, clips)
    write_weights(folder)


def write_videos(folder: Path) -> None:
    """A clip with sound, one of ten bits, and a mask that wanders."""
    write_video(folder / "sound.mp4", waves(8, 320, 240), sound=True)
    write_video(folder / "ten_bit.mp4", waves(5, 128, 112), depth=10)
    white = np.zeros((8, 240, 320, 3), np.uint8)
    for index in range(8):
        white[index, 60:150, 70 + 5 * index : 170 + 5 * index] = 255
    write_video(folder / "mask.mp4", white)


def write_pictures(folder: Path) -> None:
    """Folders of pictures of 8 and of 16 bits, and a mask."""
    for name, kind, scale in (("pictures", np.uint8, 1), ("deep", np.uint16, 257)):
        (folder / name).mkdir()
        for index, picture in enumerate(waves(4, 128, 112)):
            cv2.imwrite(str(folder / name / f"{index:04}.png"), picture.astype(kind) * kind(scale))
    mask = np.zeros((350, 350), np.uint8)
    cv2.circle(mask, (170, 120), 60, 255, -1)
    cv2.imwrite(str(folder / "mask.png"), mask)


def write_documents(folder: Path, clips: Path) -> None:
    """Segments, and a job with settings of single subjects."""
    segs = [
        {"crop_region": [90, 50, 250, 220], "bbox": [120, 80, 220, 190], "label": "face", "confidence": 0.9},
        {"crop_region": [10, 200, 110, 320], "bbox": [30, 220, 90, 300], "mask": [[0, 1, 0], [1, 1, 1]]},
    ]
    (folder / "segs.json").write_text(json.dumps({"size": [350, 350], "segs": segs}))
    (folder / "job.toml").write_text(
        f'source = "{(clips / "two_people.mp4").as_posix()}"\nend = "8f"\nencode = {{lossless = true}}\n'
        "settings = {steps = 2, seed = 4}\n"
        "[[subject]]\ntrack = 1\ndenoise = 0.4\nseed = 9\npaste-feather = 12\n"
        '[[subject]]\ntrack = "face 2"\nguide-size = 64\nmask-feather = 2\n'
    )


def write_weights(folder: Path) -> None:
    """Thin weight files in the layouts in which weights are published."""
    from tests.engines import originals

    widths, context = (32, 64), 32
    checkpoint = originals.unet_shapes(widths, context, layers=1)
    checkpoint |= originals.vae_shapes((32, 32, 32, 32), 1) | originals.clip_shapes(context, 1)
    query = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    shapes = {
        "sd.safetensors": checkpoint,
        "refiner.ckpt": checkpoint,
        "mm.ckpt": originals.motion_shapes("v3", widths, layers=1),
        "style.safetensors": {f"{query}.lora_down.weight": (4, 32), f"{query}.lora_up.weight": (32, 4)},
        "tile.pth": originals.control_shapes(widths=widths, context=context, layers=1),
    }
    for seed, (name, wanted) in enumerate(shapes.items()):
        originals.save(folder / name, originals.filled(wanted, seed))


def waves(frames: int, width: int, height: int) -> NDArray[np.uint8]:
    """(F, H, W, 3): a soft coloured pattern that moves by two pixels a frame."""
    t, y, x = np.meshgrid(np.arange(frames), np.arange(height), np.arange(width), indexing="ij")
    planes = [128 + 90 * np.sin((x + 2 * t) / 9) * np.cos(y / (7 + 2 * color)) for color in range(3)]
    return np.stack(planes, -1).astype(np.uint8)


def write_video(path: Path, frames: NDArray[np.uint8], depth: int = 8, sound: bool = False) -> None:
    """H.264 or, for ten bits, lossless H.265, at 12 frames a second."""
    with av.open(str(path), "w") as container:
        options = {"crf": "12", "x264-params": "mbtree=0"} if depth == 8 else {"x265-params": "lossless=1:log-level=0"}
        stream = container.add_stream("libx264" if depth == 8 else "libx265", rate=Fraction(12), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p" if depth == 8 else "yuv420p10le"
        audio = container.add_stream("aac", rate=44100) if sound else None
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
        if audio is not None:
            tone = np.sin(np.arange(len(frames) * 44100 // 12) / 20).astype(np.float32)[None]
            heard = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            heard.sample_rate = 44100
            container.mux(audio.encode(heard))
            container.mux(audio.encode(None))
