"""Does a model invent detail in smooth or sharp pictures? `python training/harm.py --model FOLDER --yunet ONNX ...`

*Large*: clips enlarged to HD (bicubic, so that they have no fine detail), cropped around the face as in a run and
processed at the card's size. The local high frequency of luma (mean absolute Laplacian over 25x25 pixels, plus half a
level) should hardly rise on smooth skin, that is, inside the face where the crop has less than `SMOOTH` levels of it.
The rise is logged for the result in 8 bits, for the result before rounding (rounding a smooth picture a second time
breaks its even runs), and for the latter without places beside edges, which should become crisper.
*Sharp*: reserved clips that were not softened should hardly change where they are sharp, in the fifth of the pixels
with the most local high frequency. The engine sees them at their own size and at the card's working size.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluate import with_engine
from measure import luma
from subjects import Subject, face_window, reserved_clips

from redetail.engines import Engine, enhance_arrays, load_engine
from redetail.settings import Settings, resolve
from redetail.video import open_source

log = logging.getLogger("harm")

SMOOTH, FLOOR, WINDOW = 1.5, 0.5, 25  # levels, levels, pixels
EDGE = 1.0  # levels: root mean square of the octave below the finest one, where an edge is near
Clip = NDArray[np.uint8]
Levels = NDArray[np.uint8] | NDArray[np.float32]
_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16


def local_high(clip: Levels) -> NDArray[np.float32]:
    """Local high frequency of luma in levels, (F, h, w)."""
    frames = (np.abs(cv2.Laplacian(frame, cv2.CV_32F)) for frame in luma(clip))
    return np.stack([cv2.blur(frame, (WINDOW, WINDOW)) for frame in frames])


def rises(before: Clip, after: Levels, skin: NDArray[np.bool_]) -> NDArray[np.float32]:
    """By what factor the local high frequency rose at each smooth place of the skin (h, w) or (F, h, w)."""
    there, now = local_high(before), local_high(after)
    return ((now + FLOOR) / (there + FLOOR))[(there < SMOOTH) & skin]


def beside_edges(clip: Clip) -> NDArray[np.bool_]:
    """Where the window of `local_high` holds an edge, (F, h, w): as much as `EDGE` of the octave below the finest."""
    wide = np.zeros(2 * len(_BINOMIAL) - 1, np.float32)
    wide[::2] = _BINOMIAL
    smooth = [cv2.sepFilter2D(frame, -1, _BINOMIAL, _BINOMIAL) for frame in luma(clip)]
    octave = [frame - cv2.sepFilter2D(frame, -1, wide, wide) for frame in smooth]
    return np.stack([cv2.blur(frame**2, (WINDOW, WINDOW)) for frame in octave]) >= EDGE**2


def changes(before: Clip, after: Clip) -> tuple[float, float]:
    """Mean absolute change in levels: of all pixels, and of the fifth with the most local high frequency."""
    change = np.abs(after.astype(np.float32) - before).mean(axis=-1)
    high = local_high(before)
    return float(change.mean()), float(change[high >= np.quantile(high, 0.8)].mean())


def face_of(frame: Clip, yunet: Path) -> NDArray[np.float32]:
    """x, y, width, height of the largest face. Raises ValueError where there is none."""
    scale = 540 / max(frame.shape[:2])
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    detector = cv2.FaceDetectorYN.create(str(yunet), "", small.shape[1::-1], 0.5)
    faces = detector.detect(np.ascontiguousarray(small[..., ::-1]))[1]
    if faces is None:
        raise ValueError("there is no face in the first frame")
    return np.asarray(faces[np.argmax(faces[:, 2]), :4] / scale, np.float32)


def large_crop(clip: Clip, height: int, settings: Settings, yunet: Path) -> tuple[Clip, NDArray[np.bool_]]:
    """A clip enlarged to this height, its face cropped and brought to its working size; and where the face is."""
    size = (round(clip.shape[2] * height / clip.shape[1]), height)
    large = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in clip])
    x, y, w, h = face_of(large[0], yunet)
    around = settings.crop_factor / 2
    left, right = (int(np.clip(x + w / 2 + sign * around * w, 0, size[0])) for sign in (-1, 1))
    top, bottom = (int(np.clip(y + h / 2 + sign * around * h, 0, size[1])) for sign in (-1, 1))
    scale = min(1.0, settings.max_size / max(right - left, bottom - top))
    work = tuple(max(16, math.floor(length * scale / 16) * 16) for length in (right - left, bottom - top))
    crop = np.stack([cv2.resize(f[top:bottom, left:right], work, interpolation=cv2.INTER_AREA) for f in large])
    face = np.zeros((work[1], work[0]), np.uint8)
    fx, fy = work[0] / (right - left), work[1] / (bottom - top)
    centre = (round((x + w / 2 - left) * fx), round((y + h / 2 - top) * fy))
    cv2.ellipse(face, centre, (round(0.45 * w * fx), round(0.45 * h * fy)), 0, 0, 360, 1, -1)
    return crop, face.astype(bool)


def restored(engine: Engine, crop: Clip, settings: Settings) -> NDArray[np.float32]:
    """The crop as the engine gives it back, in levels that are not rounded."""
    pixels = crop.astype(np.float32) / 255
    return enhance_arrays(engine, pixels, np.ones((1, *crop.shape[1:3]), np.float32), settings) * 255


def rounded(levels: NDArray[np.float32]) -> Clip:
    """In 8 bits."""
    return np.asarray(np.rint(levels), np.uint8)


def log_rises(name: str, crop: Clip, output: NDArray[np.float32], skin: NDArray[np.bool_]) -> None:
    """The largest and the mean rise of a large clip, in each of the three ways."""
    ways = {"": (rounded(output), skin), ", not rounded": (output, skin),
            ", away from edges": (output, skin & ~beside_edges(crop))}  # fmt: skip
    found = {name: rises(crop, after, where) for name, (after, where) in ways.items()}
    text = [f"{rise.max():.2f}, mean {rise.mean():.2f}{way}" for way, rise in found.items() if rise.size]
    log.info("%s, %dx%d: largest rise %s", name, *crop.shape[2:0:-1], "; ".join(text))


def main() -> None:
    """Measure and log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--yunet", type=Path, required=True)
    parser.add_argument("--clip", type=Path, nargs="*", default=[], help="video files to enlarge to 1920 pixels high")
    parser.add_argument("--media", type=Path, nargs="*", default=[])
    parser.add_argument("--large", type=int, default=5, help="reserved clips to enlarge to 1080 pixels high")
    parser.add_argument("--sharp", type=int, default=3, help="reserved clips to leave as they are")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--max-size", type=int, help="use a working size other than the card's")
    parser.add_argument("--output", type=Path, help="folder for pictures: crop beside result")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(2)
    engine = load_engine(options.model, device="cpu")
    changed = {"max_size": options.max_size} if options.max_size else {}
    settings = resolve(changed, engine.capabilities.defaults)
    clips = reserved_clips(options.media, options.frames) if options.large or options.sharp else {}
    large = {path.stem: (np.stack([f.pixels for f in islice(open_source(path).frames(), options.frames)]), 1920)
             for path in options.clip}  # fmt: skip
    large |= {name: (clip, 1080) for name, clip in list(clips.items())[: options.large]}
    for name, (clip, height) in large.items():
        try:
            crop, skin = large_crop(clip, height, settings, options.yunet)
        except ValueError as error:
            log.info("%s: %s", name, error)
            continue
        output = restored(engine, crop, settings)
        log_rises(name, crop, output, skin)
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
            pair = np.concatenate([crop[len(crop) // 2], rounded(output[len(crop) // 2])], axis=1)
            cv2.imwrite(str(options.output / f"{name}.png"), pair[..., ::-1])
    for name, clip in list(clips.items())[: options.sharp]:
        subject = Subject(name, clip, clip, face_window(clip, options.yunet))
        outputs = rounded(restored(engine, subject.original, settings)), with_engine(engine)(subject)
        figures = [figure for output in outputs for figure in changes(subject.original, output)]
        text = "%s, as it is: mean change %.2f, where it is sharp %.2f; at the working size %.2f and %.2f"
        log.info(text, name, *figures)


if __name__ == "__main__":
    main()
