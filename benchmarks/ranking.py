"""Whether ``redetail evaluate`` puts clips in the right order without the original.

    python benchmarks/ranking.py --media FOLDER

The reserved clips of the training (training/subjects.py) are softened to half their size and back, and detailed with
the bundled model: the faces that are found, or if there are none, the box that the training is measured on. The
original, the detailed and the softened clip are compared without naming the original. Prints the figures and the order
that was found for each clip. ``--media``: folders with the files of comfyui-workflow-templates-media-*.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "training")]

from degrade import degrade  # noqa: E402
from subjects import SIDE, SOFTENINGS, Clip, face_window, reserved_clips  # noqa: E402

import redetail  # noqa: E402 - found beside this file
from redetail.detection.face import WEIGHTS  # noqa: E402

RIGHT = ["original", "detailed", "source"]


def box_of(clip: Clip) -> tuple[int, int, int, int]:
    """The window around the face in a clip (F, h, w, 3), or in the middle of the frame."""
    left, top = face_window(clip, WEIGHTS)
    return left, top, left + SIDE, top + SIDE


def main() -> None:
    """Print a line for each clip, and how many are in the right order."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--media", type=Path, nargs="+", required=True)
    parser.add_argument("--frames", type=int, default=12, help="of each clip [12]")
    parser.add_argument("--softening", choices=list(SOFTENINGS), default="half")
    options = parser.parse_args()
    engine, right = redetail.load_engine(), 0
    clips = reserved_clips(options.media, options.frames)
    for name, clip in clips.items():
        softened = degrade(clip, SOFTENINGS[options.softening])
        where = {} if redetail.plan(softened, engine=engine).crops else {"box": box_of(clip)}
        detailed = redetail.detail(softened, engine=engine, **where).frames
        measured = redetail.compare(softened, {"detailed": detailed, "original": clip}, **where)
        right += list(measured.ranking) == RIGHT
        sharp = {
            one.name: [subject and round(subject.sharpness, 2) for subject in one.subjects] for one in measured.clips
        }
        print(f"{name}: {' > '.join(measured.ranking)}; sharpness {sharp}", flush=True)
    print(f"{right} of {len(clips)} in the right order")


if __name__ == "__main__":
    main()
