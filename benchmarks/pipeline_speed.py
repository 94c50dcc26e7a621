"""Time outside the engine, compared with another version of redetail, and runs in which nothing is detailed.

    python benchmarks/pipeline_speed.py --against 56612b8

Checks that version out into a temporary folder. Both run in separate processes, one after the other: a shared clip
four times over (276 frames of 350x350) with an engine whose own time is subtracted, and a pattern of 1280x720 without a
face, whose run is compared with decoding it to RGB, and with decoding and encoding it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
MEASURE = """
import json, sys, time
import redetail
from redetail.engines import FakeEngine
from redetail.video import EncodeOptions, open_sink, open_source

class Timed(FakeEngine):
    seconds = 0.0
    def run(self, request):
        started = time.perf_counter()
        super().run(request)
        self.seconds += time.perf_counter() - started

face, empty, folder = sys.argv[1:]
settings = dict(steps=1, crop_factor=1.8, guide_size=256.0, guide_size_for="crop_region")
told, engine = {}, Timed()
started = time.perf_counter()
redetail.detail(face, folder + "/face.mp4", engine=engine, **settings)
told["with subjects"] = time.perf_counter() - started - engine.seconds
for name, options in (("copied", {}), ("encoded", {"encode": EncodeOptions(codec="h264")})):
    started = time.perf_counter()
    redetail.detail(empty, f"{folder}/{name}.mp4", engine=engine, **options)
    told[name] = time.perf_counter() - started
started = time.perf_counter()
source = open_source(empty)
for frame in source.frames():
    pass
told["decoding"] = time.perf_counter() - started
started = time.perf_counter()
with open_sink(folder + "/plain.mp4", source, options=EncodeOptions(codec="h264")) as sink:
    for frame in source.frames():
        sink.write(frame)
    if hasattr(sink, "finish"):
        sink.finish()
told["decoding and encoding"] = time.perf_counter() - started
print(json.dumps(told))
"""


def measured(root: Path, clips: list[Path], folder: Path) -> dict[str, Any]:
    """Seconds that the version in a folder takes."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", MEASURE, *map(str, clips), str(folder)]
    done = subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    """Measure both versions and print the ratios."""
    from benchmarks.bench import CLIP, repeated
    from benchmarks.length import write_clip

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", default="56612b8", help="commit to compare with [56612b8]")
    parser.add_argument("--frames", type=int, default=150, help="of the pattern [150]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        clips = [folder / "face.mp4", folder / "empty.mp4"]
        repeated(CLIP, 4, clips[0])
        write_clip(clips[1], options.frames, (1280, 720))
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "-q", str(folder / "other"), options.against], check=True)
        try:
            old = measured(folder / "other", clips, folder / "old")
            new = measured(ROOT, clips, folder / "new")
        finally:
            subprocess.run([*git, "remove", "--force", str(folder / "other")], check=True)
    for name, told in ((options.against, old), ("now", new)):
        print(name, json.dumps(told))
    print(f"outside the engine, 276 frames: {new['with subjects'] / old['with subjects']:.2f} of {options.against}")
    print(f"nothing detailed, copied: {new['copied'] / new['decoding']:.2f} times decoding")
    print(f"nothing detailed, encoded: {new['encoded'] / new['decoding and encoding']:.2f} times decoding and encoding")


if __name__ == "__main__":
    main()
