"""Finding subjects: speed and tracks, compared with another version of redetail in one run.

    python benchmarks/detect_speed.py --against 56612b8

Checks that version out into a temporary folder and runs both in separate processes, one after the other, on the shared
clips and on one of them enlarged to 1280x720. Prints the time per frame for finding subjects, which includes decoding,
and for decoding to RGB alone, and whether the tracks agree: their number, and the smallest intersection over union of
two boxes in a frame.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CLIPS = ROOT / "tests" / "data" / "clips"
MEASURE = """
import json, sys, time
import redetail
from redetail.video import open_source
told = {}
for path in sys.argv[1:]:
    source = open_source(path)
    started = time.perf_counter()
    frames = sum(1 for _ in source.frames())
    decoding = time.perf_counter() - started
    started = time.perf_counter()
    regions = redetail.track(redetail.detect(path), source.info.size, crop_factor=1.8)
    seconds = time.perf_counter() - started
    tracks = [[region.start, region.boxes.tolist()] for region in regions]
    told[path] = {"frames": frames, "decoding": decoding, "finding": seconds, "tracks": tracks}
print(json.dumps(told))
"""


def enlarged(clip: Path, target: Path) -> None:
    """The clip at 1280x720."""
    import av

    with av.open(str(clip)) as source, av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": "16", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for frame in source.decode(video=0):
            larger = frame.reformat(1280, 720, "yuv420p", interpolation="BICUBIC")
            larger.pts = None
            container.mux(stream.encode(larger))
        container.mux(stream.encode(None))


def measured(root: Path, clips: list[Path]) -> dict[str, Any]:
    """What the version in a folder finds, and how long it takes."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, clips)], cwd=root, env=environment, check=True, capture_output=True
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def overlaps(one: list[Any], other: list[Any]) -> str:
    """Intersection over union of the boxes of equal frames, over the tracks in their order."""
    values = [
        _overlap(boxes[index - start], others[index - first])
        for (start, boxes), (first, others) in zip(one, other, strict=False)
        for index in range(max(start, first), min(start + len(boxes), first + len(others)))
    ]
    values.sort()
    return f"least {values[0]:.3f}, 5% {values[len(values) // 20]:.3f}, median {values[len(values) // 2]:.3f}"


def _overlap(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


def main() -> None:
    """Measure both versions and print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", default="56612b8", help="commit to compare with [56612b8]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        other, large = Path(folder) / "other", Path(folder) / "guitarist-720p.mp4"
        subprocess.run(
            ["git", "-C", str(ROOT), "worktree", "add", "--detach", "-q", str(other), options.against], check=True
        )
        try:
            enlarged(CLIPS / "guitarist.mp4", large)
            clips = [*sorted(CLIPS.glob("*.mp4")), large]
            before, now = measured(other, clips), measured(ROOT, clips)
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(other)], check=True)
    for clip in map(str, clips):
        print(compared(Path(clip).name, before[clip], now[clip]))


def compared(name: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    """Both versions on one clip, in words."""
    each = [1000 * told["finding"] / told["frames"] for told in (new, old)]
    places = [[(start, len(boxes)) for start, boxes in told["tracks"]] for told in (new, old)]
    return (
        f"{name}: {new['frames']} frames, {each[0]:.1f} ms a frame against {each[1]:.1f}, "
        f"{each[1] / each[0]:.2f} times as fast (decoding {1000 * new['decoding'] / new['frames']:.1f} ms)\n"
        f"  tracks (start, frames) {places[0]} against {places[1]}, overlap {overlaps(new['tracks'], old['tracks'])}"
    )


if __name__ == "__main__":
    main()
