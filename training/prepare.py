"""Build the training set from the MIT-licensed media packages: decoded clips and stills with face boxes.

    python training/prepare.py --output DATA --yunet face_detection_yunet_2023mar.onnx [--media FOLDER ...]

Without --media, the packages named in MEDIA_PACKAGES are read where they are installed. Files reserved for
evaluation are never read into the set: by name, and by content (a training file one of whose frames looks like a
frame of a reserved file is left out too). `index.json` records every file used and every file left out, and why.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

log = logging.getLogger("prepare")

MEDIA_PACKAGES = (
    "comfyui-workflow-templates-media-video",
    "comfyui-workflow-templates-media-image",
    "comfyui-workflow-templates-media-other",
    "comfyui-workflow-templates-media-assets-01",
    "comfyui-workflow-templates-media-assets-02",
)
# The project's three shipped clips come from the s2v, 5B_ti2v and infinitetalk families.
RESERVED = (
    "api_",
    "video_ltx2_3_id_lora",
    "video_humo",
    "video_wan2_2_14B_s2v",
    "video_wan2_2_5B_ti2v",
    "video_wan2_1_infinitetalk",
)
SAME_PICTURE = 6.0  # mean grey difference of 16x16 thumbnails; re-encoded copies measure 1 to 5, others 20 and more
MAX_SIDE = 768
MAX_FRAMES = 48


def is_reserved(name: str) -> bool:
    """Whether a file of this name is kept for evaluation."""
    return name.startswith(RESERVED)


def media_files(folders: list[Path]) -> list[Path]:
    """All pictures of the given folders, or else of the installed media packages, sorted by name."""
    if folders:
        found = [path for folder in folders for path in folder.rglob("*.webp")]
    else:
        found = [
            Path(str(file.locate()))
            for package in MEDIA_PACKAGES
            for file in metadata.files(package) or []
            if file.suffix == ".webp"
        ]
    return sorted(found, key=lambda path: path.name)


def read_frames(path: Path, picks: set[int] | None = None) -> Iterator[np.ndarray]:
    """RGB frames (h, w, 3) uint8 of a still or animated picture; only the numbers in picks, if given."""
    with Image.open(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            if picks is None or number in picks:
                image.seek(number)
                yield np.asarray(image.convert("RGB"))


def frame_count(path: Path) -> int:
    """Number of frames of a picture."""
    with Image.open(path) as image:
        return int(getattr(image, "n_frames", 1))


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """A 16x16 grey float32 thumbnail to compare pictures by."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)


def reserved_thumbnails(files: list[Path]) -> np.ndarray:
    """Thumbnails (N, 16, 16) of frames spread over every reserved file."""
    rows = []
    for path in files:
        count = frame_count(path)
        picks = {int(i) for i in np.linspace(0, count - 1, min(count, 9))}
        rows += [thumbnail(frame) for frame in read_frames(path, picks)]
    return np.stack(rows)


def shrink(frame: np.ndarray) -> np.ndarray:
    """The frame with its longer side at most MAX_SIDE."""
    factor = MAX_SIDE / max(frame.shape[:2])
    if factor >= 1:
        return frame
    size = (round(frame.shape[1] * factor), round(frame.shape[0] * factor))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def find_faces(detector: Any, frame: np.ndarray) -> list[list[float]]:
    """Boxes [x, y, w, h] of the faces in an RGB frame."""
    detector.setInputSize((frame.shape[1], frame.shape[0]))
    _, faces = detector.detect(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return [] if faces is None else [[round(float(v), 1) for v in face[:4]] for face in faces]


def write_clip(path: Path, output: Path, detector: Any, reserved: np.ndarray) -> dict[str, Any]:
    """Decode one file into output/NAME.npy (F, h, w, 3) uint8; returns its row of the index."""
    frames = [shrink(frame) for frame in read_frames(path)]
    looks = np.stack([thumbnail(frame) for frame in frames[:: max(1, len(frames) // 8)]])
    nearest = float(np.abs(looks[:, None] - reserved[None]).mean(axis=(2, 3)).min())
    if nearest < SAME_PICTURE:
        return {"name": path.name, "left_out": f"looks like a reserved file (difference {nearest:.2f})"}
    if min(frames[0].shape[:2]) < 200:
        return {"name": path.name, "left_out": f"too small: {frames[0].shape[1]}x{frames[0].shape[0]}"}
    start = max(0, (len(frames) - MAX_FRAMES) // 2)
    clip = np.stack(frames[start : start + MAX_FRAMES])
    picks = sorted({int(i) for i in np.linspace(0, len(clip) - 1, min(len(clip), 6))})
    faces = {str(i): find_faces(detector, clip[i]) for i in picks}
    np.save(output / f"{path.stem}.npy", clip)
    return {"name": path.name, "file": f"{path.stem}.npy", "shape": list(clip.shape), "faces": faces}


def main() -> None:
    """Read the packages and write the set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--yunet", type=Path, required=True)
    parser.add_argument("--media", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.output.mkdir(parents=True, exist_ok=True)
    detector = cv2.FaceDetectorYN.create(str(options.yunet), "", (320, 320), 0.6)
    files = media_files(options.media)
    held = [path for path in files if is_reserved(path.name)]
    reserved = reserved_thumbnails(held)
    log.info("%d files, %d of them reserved", len(files), len(held))
    rows = [{"name": path.name, "left_out": "reserved by name"} for path in held]
    for path in files:
        if not is_reserved(path.name):
            rows.append(write_clip(path, options.output, detector, reserved))
    used = [row for row in rows if "file" in row]
    assert used, "no file can be trained on"
    assert not any(is_reserved(row["name"]) for row in used), "a reserved file reached the training set"
    (options.output / "index.json").write_text(json.dumps(rows, indent=1))
    log.info(
        "%d clips and stills, %d frames, %d with faces",
        len(used),
        sum(row["shape"][0] for row in used),
        sum(any(row["faces"].values()) for row in used),
    )


if __name__ == "__main__":
    main()
