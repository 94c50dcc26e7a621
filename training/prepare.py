"""Build the training set from the MIT-licensed media packages: decoded clips and stills with boxes of faces and hands.

    python training/prepare.py --output DATA --yunet face_detection_yunet_2023mar.onnx \\
        [--palm palm_detection_full.tflite --landmark hand_landmark_full.tflite] [--media FOLDER ...]

Without --media, the packages named in MEDIA_PACKAGES are read where they are installed. Hands are searched for if the
two models that training/hands.py names are given. Files reserved for evaluation are never read into the set: by name,
and by content (a training file one of whose frames looks like a frame of a reserved file is left out too). `index.json`
records every file used and every file left out, and why.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from hands import HandDetector
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
MAX_FRAMES = 96
LOOKED_AT = 8  # every how many frames faces and hands are searched for


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


class Models(NamedTuple):
    """Files of the detectors: YuNet, and MediaPipe's palms and hands or None for both."""

    yunet: Path
    palm: Path | None
    landmark: Path | None


@cache
def face_detector(models: Models) -> Any:
    """YuNet, loaded once in each process."""
    return cv2.FaceDetectorYN.create(str(models.yunet), "", (320, 320), 0.6)


@cache
def hand_detector(models: Models) -> HandDetector | None:
    """The models of hands, loaded once in each process. Raises ModuleNotFoundError with the remedy."""
    return HandDetector(models.palm, models.landmark) if models.palm and models.landmark else None


def find_faces(detector: Any, frame: np.ndarray) -> list[list[float]]:
    """Boxes [x, y, w, h] of the faces in an RGB frame."""
    detector.setInputSize((frame.shape[1], frame.shape[0]))
    _, faces = detector.detect(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return [] if faces is None else [[round(float(v), 1) for v in face[:4]] for face in faces]


def find_subjects(clip: np.ndarray, models: Models) -> dict[str, dict[str, list[list[float]]]]:
    """The boxes of "faces" and of "hands" in some frames of a clip, by the frame's number."""
    most = max(6, len(clip) // LOOKED_AT)
    picks = sorted({int(i) for i in np.linspace(0, len(clip) - 1, min(len(clip), most))})
    hands = hand_detector(models)
    return {
        "faces": {str(i): find_faces(face_detector(models), clip[i]) for i in picks},
        "hands": {str(i): hands.detect(clip[i]) for i in picks} if hands else {},
    }


def write_clip(path: Path, output: Path, models: Models, reserved: np.ndarray) -> dict[str, Any]:
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
    np.save(output / f"{path.stem}.npy", clip)
    row = {"name": path.name, "file": f"{path.stem}.npy", "shape": list(clip.shape), "frames_in_file": len(frames)}
    return row | find_subjects(clip, models)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--yunet", type=Path, required=True)
    parser.add_argument("--palm", type=Path, help="palm_detection_full.tflite")
    parser.add_argument("--landmark", type=Path, help="hand_landmark_full.tflite; goes with --palm")
    parser.add_argument("--media", type=Path, nargs="*", default=[])
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if (options.palm is None) != (options.landmark is None):
        parser.error("--palm and --landmark go together: give both to find hands, or neither.")
    for file in (options.yunet, options.palm, options.landmark):
        if file is not None and not file.is_file():
            parser.error(f"there is no file {file}.")
    return options


def main() -> None:
    """Read the packages and write the set."""
    options = read_options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.output.mkdir(parents=True, exist_ok=True)
    models = Models(options.yunet, options.palm, options.landmark)
    hand_detector(models)  # fails early if a package is missing
    files = media_files(options.media)
    held = [path for path in files if is_reserved(path.name)]
    # Spawned, not forked: a forked process would wait for OpenCV's threads, which are not forked with it.
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as pool:
        reserved = np.concatenate([*pool.map(reserved_thumbnails, ([path] for path in held), chunksize=8)])
        log.info("%d files, %d of them reserved", len(files), len(held))
        rows: list[dict[str, Any]] = [{"name": path.name, "left_out": "reserved by name"} for path in held]
        work = partial(write_clip, output=options.output, models=models, reserved=reserved)
        rows += pool.map(work, (path for path in files if not is_reserved(path.name)), chunksize=4)
    used = [row for row in rows if "file" in row]
    assert used, "no file can be trained on"
    assert not any(is_reserved(row["name"]) for row in used), "a reserved file reached the training set"
    (options.output / "index.json").write_text(json.dumps(rows, indent=1))
    log.info(
        "%d clips and stills, %d frames (%.0f %% of those in the files), %d with faces, %d with hands",
        len(used),
        sum(row["shape"][0] for row in used),
        100 * sum(row["shape"][0] for row in used) / sum(row["frames_in_file"] for row in used),
        sum(any(row["faces"].values()) for row in used),
        sum(any(row["hands"].values()) for row in used),
    )


if __name__ == "__main__":
    main()
