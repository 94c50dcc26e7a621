"""Fit the direction in which descriptors of faces differ from those of things that only look like one:

    python training/faceness.py --media FOLDER ... --output redetail/bundled/face_descriptor/faceness.safetensors

It is Fisher's linear discriminant (1936) on descriptors, with a covariance that is shrunk towards a multiple of the
identity (Friedman 1989); every clip counts the same. Samples are what YuNet finds from a confidence of 0.25 and 24
pixels: in the half of the labelled clips that is for tuning (benchmarks/labels), by their labels; in clips that are not
reserved for evaluation (training/prepare.py), a confidence of 0.85 or more counts as a face, one below 0.55 does not,
and anything in between is left out. Animals and things above 0.85 were sorted out by eye, clip by clip.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prepare import SAME_PICTURE, frame_count, is_reserved, media_files, read_frames, reserved_thumbnails, thumbnail
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from labelled_faces import OPEN, Clip, overlap, read_labels  # noqa: E402

from redetail.detection.face import FaceDetector  # noqa: E402
from redetail.identity import FaceDescriber  # noqa: E402

SHRINKAGE = 0.3
FACE, NO_FACE = 0.85, 0.55  # confidence from which, and below which, an unlabelled detection is a sample
FRAMES = 9  # of each clip
NO_FACES = frozenset({"03_video_wan2_2_14B_i2v_subgraphed-1", "templates-6-key-frames-1", "video_ltx2_i2v_lora-1"})
"""Clips whose sure detections are not faces but a toy duck, a cat and a puppy."""
SHOWS_A_LABELLED_PERSON = frozenset({"utility-bria_remove_video_background-1"})
"""Clips that show somebody of the half that is held out in front of something else, which comparing pictures misses."""

Sample = tuple[str, bool, NDArray[np.float32]]
"""Name of the clip, whether it is a face, and its descriptor (128,)."""


class Finder:
    """Finds faces in frames, and what looks like them, with their descriptors."""

    def __init__(self) -> None:
        self._detector, self._describer = FaceDetector(threshold=0.25, min_size=24), FaceDescriber()

    def find(self, frame: NDArray[np.uint8]) -> Iterator[tuple[tuple[float, float, float, float], float, np.ndarray]]:
        """Box, confidence and descriptor (128,) of each."""
        for found in self._detector.detect(frame):
            described = self._describer.describe(frame, np.array(found.landmarks))
            yield found.box.as_tuple(), found.confidence, described


def labelled_samples(clip: Clip, path: Path, finder: Finder) -> Iterator[Sample]:
    """Samples of a labelled clip; what the labels leave open is none."""
    for number, frame in zip(sorted(clip.frames), read_frames(path, set(clip.frames)), strict=True):
        for box, _, descriptor in finder.find(frame):
            over = max(((overlap(face.box, box), face.identity) for face in clip.frames[number]), default=(0.0, ""))
            if over[0] < 0.1 or (over[0] >= 0.5 and over[1] != OPEN):
                yield clip.name, over[0] >= 0.5, descriptor


def other_samples(path: Path, finder: Finder, labelled: NDArray[np.float32]) -> Iterator[Sample]:
    """Samples of a clip without labels; none of a clip that shows what a labelled one does."""
    count = frame_count(path)
    frames = list(read_frames(path, set(range(2, count, max(4, count // FRAMES)))))
    small = np.stack([thumbnail(frame) for frame in frames])
    if np.abs(small[:, None] - labelled[None]).mean(axis=(2, 3)).min() < SAME_PICTURE:
        return
    for frame in frames:
        for _, confidence, descriptor in finder.find(frame):
            if path.stem in NO_FACES or not NO_FACE <= confidence < FACE:
                yield path.stem, confidence >= FACE and path.stem not in NO_FACES, descriptor


def fitted(samples: list[Sample]) -> tuple[NDArray[np.float32], float]:
    """The direction (128,), of length 1, and the offset that puts zero midway between the means of both kinds."""
    kinds = []
    for kind in (True, False):
        clips = sorted({name for name, face, _ in samples if face is kind})
        kinds.append([np.stack([d for n, face, d in samples if n == name and face is kind]) for name in clips])
    means = [np.mean([group.mean(axis=0) for group in groups], axis=0) for groups in kinds]
    spreads = [
        np.mean([(group - mean).T @ (group - mean) / len(group) for group in groups], axis=0)
        for groups, mean in zip(kinds, means, strict=True)
    ]
    spread = sum(spreads) / 2
    shrunk = (1 - SHRINKAGE) * spread + SHRINKAGE * np.trace(spread) / len(spread) * np.eye(len(spread))
    direction = np.linalg.solve(shrunk, means[0] - means[1])
    direction /= np.linalg.norm(direction)
    return direction.astype(np.float32), -float(direction @ (means[0] + means[1]) / 2)


def main() -> None:
    """Collect samples, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    labels = {clip.name: clip for clip in read_labels()}
    files = {path.stem: path for path in media_files(options.media)}
    labelled = reserved_thumbnails([files[name] for name in labels])
    finder, samples = Finder(), []
    for name, path in files.items():
        if name in labels and labels[name].half == "tune":
            samples += labelled_samples(labels[name], path, finder)
        elif not is_reserved(name) and name not in SHOWS_A_LABELLED_PERSON and frame_count(path) > FRAMES:
            samples += other_samples(path, finder, labelled)
    direction, offset = fitted(samples)
    save_file({"direction": direction, "offset": np.array([offset], np.float32)}, options.output)


if __name__ == "__main__":
    main()
