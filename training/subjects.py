"""What a model is measured on: square crops around the faces of clips, original and softened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from data import Samples
from degrade import Degradation, damage, resize
from numpy.typing import NDArray
from prepare import is_reserved, media_files, read_frames

SIDE = 192
RESERVED_CLIPS = (
    "video_wan2_2_14B_s2v-1",
    "video_wan2_2_5B_ti2v-1",
    "video_wan2_1_infinitetalk-1",
    "video_humo-1",
    "video_ltx2_3_id_lora-1",
    "api_bria_video_replace_background-1",
    "api_happyhorse1_1_i2v-1",
    "api_heygen_video_1_t2v-1",
    "api_kling_o3_t2v-1",
    "api_bytedance_seedance1_5_image_to_video-1",
)
SOFTENINGS = {
    "half": Degradation(factor=2.0, codec="h264", quality=30),
    "third": Degradation(factor=3.4, codec="jpeg", quality=75),
}
Clip = NDArray[np.uint8]


@dataclass(frozen=True)
class Subject:
    """A clip (F, h, w, 3), the small frames that are left of it, and where its SIDE x SIDE window lies (left, top)."""

    name: str
    clip: Clip
    small: Clip
    corner: tuple[int, int]

    def cut(self, clip: Clip) -> Clip:
        """The window of a clip of this size."""
        left, top = self.corner
        return np.ascontiguousarray(clip[:, top : top + SIDE, left : left + SIDE])

    @property
    def original(self) -> Clip:
        return self.cut(self.clip)

    @property
    def soft(self) -> Clip:
        """The small frames enlarged again by bicubic interpolation."""
        return self.from_small(self.small, "cubic")

    def from_small(self, pictures: Clip, kernel: str) -> Clip:
        """The window out of pictures of the whole frame at any size."""
        return self.cut(resize(pictures, (self.clip.shape[1], self.clip.shape[2]), kernel))


def face_window(clip: Clip, yunet: Path) -> tuple[int, int]:
    """Left and top of the window around the median position of the largest face, or in the middle if there is none."""
    detector = cv2.FaceDetectorYN.create(str(yunet), "", (clip.shape[2], clip.shape[1]), 0.6)
    boxes = [
        faces[np.argmax(faces[:, 2])][:4]
        for frame in clip[::4]
        if (faces := detector.detect(np.ascontiguousarray(frame[..., ::-1]))[1]) is not None
    ]
    x, y, w, h = np.median(boxes, axis=0) if boxes else (clip.shape[2] / 2, clip.shape[1] / 2, 0, 0)
    left = int(np.clip(x + w / 2 - SIDE / 2, 0, clip.shape[2] - SIDE))
    return left, int(np.clip(y + h / 2 - SIDE / 2, 0, clip.shape[1] - SIDE))


def reserved_clips(folders: list[Path], frames: int) -> dict[str, Clip]:
    """The clips that are kept for evaluation. Raises FileNotFoundError where one is missing."""
    paths = {path.stem: path for path in media_files(folders) if path.stem in RESERVED_CLIPS}
    if missing := sorted(set(RESERVED_CLIPS) - set(paths)):
        raise FileNotFoundError(f"not among the media files: {', '.join(missing)}")
    assert all(is_reserved(name) for name in RESERVED_CLIPS), "a clip may have been trained on"
    return {name: np.stack(list(read_frames(paths[name], set(range(frames))))) for name in RESERVED_CLIPS}


def held_out_clips(data: Path, frames: int) -> dict[str, Clip]:
    """A clip from each monitored file of the training set, on which defaults are chosen."""
    samples = Samples(data, 0, validation=True)
    clips = {row["name"]: samples.clean(row, np.random.default_rng(0))[0][:frames] for row in samples.rows}
    return {name: clip for name, clip in clips.items() if len(clip) > 1 and min(clip.shape[1:3]) >= SIDE}


def subjects(clips: dict[str, Clip], softening: Degradation, yunet: Path) -> list[Subject]:
    """Every clip softened."""
    return [
        Subject(name, clip, damage(clip, softening).coded, face_window(clip, yunet)) for name, clip in clips.items()
    ]
