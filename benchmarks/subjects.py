"""How well faces are found, followed and told apart, against labels that were checked by eye.

    python benchmarks/subjects.py --media FOLDER
    python benchmarks/subjects.py --media FOLDER --half tune --clips
    python benchmarks/subjects.py --media FOLDER --redetail OTHER_CHECKOUT

FOLDER holds the packages that benchmarks/labels/README.md names, unpacked. `labelled_faces.py` says what is counted.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from labelled_faces import HALVES, Clip, Corners, Counts, measure, read_labels

WHO_SIDE = 30.0
"""Shorter side of a face, in pixels, from which --who has to recognise it."""


def ask_who(clip: Clip, path: Path, regions: Sequence[Any], holders: dict[tuple[int, str], str]) -> Counts:
    """Give --who a picture of each person in a clip with several people, cut out of the clip itself."""
    from redetail.selection.people import described_pictures, recognised
    from redetail.selection.subjects import numbered

    counts, subjects = Counts(), numbered(regions)
    if len(clip.identities) < 2:
        return counts
    with tempfile.TemporaryDirectory() as folder:
        pictures = dict(_pictures(clip, path, Path(folder), described_pictures))
        shown = recognised(dict(pictures.values()), subjects)
    for identity, (picture, _) in pictures.items():
        chosen = {subject.label for subject in subjects if shown.get(subject.number) == picture}
        found = [frame for frame in _large(clip, identity) if (frame, identity) in holders]
        held = [frame for frame in found if holders[frame, identity] in chosen]
        others = {who for (_, who), label in holders.items() if label in chosen} - {identity}
        right = bool(chosen) and not others and 2 * len(held) >= len(found)
        counts.asked += 1
        counts.right += right
        if not right:
            counts.notes.append(f"--who {identity} gives {sorted(chosen) or 'nobody'}, with {sorted(others)}")
    return counts


def _large(clip: Clip, identity: str) -> list[int]:
    """Frames in which a person's face is large enough to be recognised, largest first."""
    sides = {
        frame: face.side
        for frame, faces in clip.frames.items()
        for face in faces
        if face.identity == identity and face.side >= WHO_SIDE
    }
    return sorted(sides, key=lambda frame: -sides[frame])


def _pictures(clip: Clip, path: Path, folder: Path, describe: Any) -> Iterator[tuple[str, tuple[Path, Any]]]:
    """For each person, the largest face that --who accepts as a picture: its file and its descriptor."""
    from PIL import Image

    from redetail.errors import InputError

    pixels = {frame.index: frame.pixels for frame in _source(path).frames() if frame.index in clip.frames}
    for identity in clip.identities:
        for frame in _large(clip, identity):
            box = next(face.box for face in clip.frames[frame] if face.identity == identity)
            picture = folder / f"{identity}-{frame}.png"
            Image.fromarray(pixels[frame]).crop(_with_margin(box)).save(picture)
            try:
                descriptor = describe([picture])[picture]
            except InputError:
                continue
            yield identity, (picture, descriptor)
            break


def _with_margin(box: Corners) -> tuple[int, int, int, int]:
    side = 0.4 * max(box[2] - box[0], box[3] - box[1])
    x1, y1, x2, y2 = box[0] - side, box[1] - side, box[2] + side, box[3] + side
    return int(max(0, x1)), int(max(0, y1)), int(x2), int(y2)


def _source(path: Path) -> Any:
    return importlib.import_module("redetail.video").open_source(path)


class _Stopwatch:
    """The total seconds that calls of a method take."""

    def __init__(self, owner: type, name: str) -> None:
        self.seconds = 0.0
        method = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            result = method(*arguments, **named)
            self.seconds += time.perf_counter() - began
            return result

        setattr(owner, name, timed)


def labelled_files(folders: Sequence[Path], clips: Sequence[Clip]) -> dict[str, Path]:
    """The file of each clip, by its SHA-256; raises SystemExit naming those that are missing."""
    named = [path for clip in clips for folder in folders for path in folder.rglob(f"{clip.name}.webp")]
    found = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in named}
    if missing := [clip.name for clip in clips if clip.sha256 not in found]:
        raise SystemExit(f"Not in --media: {', '.join(missing)}; benchmarks/labels/README.md names their packages.")
    return found


def run(clips: Sequence[Clip], paths: dict[str, Path], each: bool) -> dict[str, Any]:
    """Detect and track in every clip; counts by half, and where the time went."""
    redetail = importlib.import_module("redetail")
    try:
        describing: _Stopwatch | None = _Stopwatch(
            importlib.import_module("redetail.identity").FaceDescriber, "describe"
        )
    except ImportError:  # a version without identities
        describing = None
    totals = {half: Counts() for half in HALVES}
    seconds = 0.0
    for clip in clips:
        path = paths[clip.sha256]
        began = time.perf_counter()
        detections = redetail.detect(path)
        seconds += time.perf_counter() - began
        regions = redetail.track(detections, _source(path).info.size)
        counts, holders = measure(clip, regions)
        described = 0.0 if describing is None else describing.seconds
        if describing is not None:
            counts += ask_who(clip, path, regions, holders)
            describing.seconds = described
        totals[clip.half] += counts
        if each:
            print(f"{clip.name} ({clip.half}): {counts.found}/{counts.faces}, {counts.wrong} wrong", flush=True)
            print(*(f"    {note}" for note in counts.notes), sep="\n", flush=True)
    share = 0.0 if describing is None else describing.seconds / max(1e-9, seconds)
    return {"totals": totals, "seconds": seconds, "identity_share": share}


def table(totals: dict[str, Counts]) -> str:
    """The counts as rows of a Markdown table."""
    rows = [
        "| half | faces | precision | recall | join two people | kept after a return | kept in sight | `--who` right |"
    ]
    rows.append("|---|---|---|---|---|---|---|---|")
    for half, c in totals.items():
        rows.append(
            f"| {half} | {c.faces} | {c.precision:.3f} | {c.recall:.3f} | {c.joined} | {c.kept} of {c.returns} "
            f"| {c.stayed} of {c.steps} | {c.right} of {c.asked} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Read options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, nargs="+", required=True, help="folders that hold the labelled clips")
    parser.add_argument("--half", choices=HALVES, help="only the clips of this half")
    parser.add_argument("--only", nargs="+", help="only these clips")
    parser.add_argument("--clips", action="store_true", help="print what went wrong in each clip")
    parser.add_argument("--redetail", type=Path, default=Path(__file__).parents[1], help="checkout to measure")
    options = parser.parse_args()
    sys.path.insert(0, str(options.redetail.resolve()))
    clips = [
        clip
        for clip in read_labels()
        if options.half in (None, clip.half) and (options.only is None or clip.name in options.only)
    ]
    result = run(clips, labelled_files(options.media, clips), options.clips)
    print(table({half: counts for half, counts in result["totals"].items() if options.half in (None, half)}))
    print(
        f"{len(clips)} clips, {sum(len(clip.frames) for clip in clips)} labelled frames; detection "
        f"{result['seconds']:.0f} s, of which descriptors {100 * result['identity_share']:.1f}%; "
        f"{date.today()}, {platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}"
    )


if __name__ == "__main__":
    main()
