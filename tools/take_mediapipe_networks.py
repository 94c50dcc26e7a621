"""Take the networks of hands, people and faces out of MediaPipe's wheel, unchanged.

    pip download --no-deps mediapipe==0.10.21
    python tools/take_mediapipe_networks.py mediapipe-0.10.21-*.whl redetail/bundled/mediapipe

MediaPipe itself is not installed: its pins exclude NumPy 2.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

NETWORKS = (
    "palm_detection/palm_detection_full.tflite",
    "hand_landmark/hand_landmark_full.tflite",
    "pose_detection/pose_detection.tflite",
    "selfie_segmentation/selfie_segmentation.tflite",
    "face_landmark/face_landmark.tflite",
)
LICENCE = "mediapipe-0.10.21.dist-info/LICENSE"


def main() -> None:
    """Write the networks and their licence into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(options.wheel) as wheel:
        for name in NETWORKS:
            (options.folder / Path(name).name).write_bytes(wheel.read(f"mediapipe/modules/{name}"))
        (options.folder / "LICENSE").write_bytes(wheel.read(LICENCE))


if __name__ == "__main__":
    main()
