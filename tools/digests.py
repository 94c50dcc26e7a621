"""Print a digest of everything that a user gets: clips, the demo, command lines, the library, nodes.

    python tools/digests.py                          # print
    python tools/digests.py --write before.json      # keep
    python tools/digests.py --compare before.json    # name what differs; exits with 1 if anything does
    python tools/digests.py --only line/ node/       # a part of it, by the beginning of the name

A refactoring keeps every digest; a fix changes those that its message explains. Digests depend on the kind of
processor and on the versions of the packages, so a baseline is only valid on the machine that wrote it. To compare
with an earlier commit, check that commit out beside this one and write its baseline with this script::

    git worktree add ../before 56612b8
    PYTHONPATH=../before .venv/bin/python tools/digests.py --write before.json
    .venv/bin/python tools/digests.py --compare before.json

What is digested is what was decoded: pixels at their own depth, time stamps, sound, and the numbers of reports without
times. Only the command line, the public library and the node classes are used, so that the script runs on both sides of
a refactoring. Computation is on the CPU, on one thread. The nodes need ComfyUI (``make comfy``).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import re
import runpy
import shlex
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import cv2
import numpy as np
import torch
from digest_inputs import waves, write_inputs
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from safetensors.numpy import load_file

sys.path.append(str(Path(__file__).resolve().parents[1]))  # behind PYTHONPATH

import redetail
from redetail.cli.main import main as command_line

ROOT = Path(redetail.__file__).resolve().parents[1]
CLIPS = ROOT / "tests" / "data" / "clips"
LINES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
log = logging.getLogger("digests")

# Folders in front of names of files; they differ from run to run.
FOLDERS = re.compile(r'"[^"\n]*/(?=[^"/\n]+")')

Digests = dict[str, str]
QUICK = {"box": (30, 20, 100, 90), "guide_size": 64, "max_size": 96, "crop_factor": 1.5}


# What is digested -------------------------------------------------------------------------------------------------


def of_values(*values: Any) -> str:
    """Arrays with their type and shape, everything else by its JSON; tensors as arrays."""
    found = hashlib.sha256()
    for value in values:
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        if isinstance(array, np.ndarray):
            found.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        else:
            found.update(json.dumps(array, sort_keys=True).encode())
    return found.hexdigest()[:20]


def of_folder(folder: Path) -> Digests:
    """Every picture, folder, video and report in a folder; a report as a page says what the one in JSON does."""
    return {path.name: of_output(path) for path in sorted(folder.iterdir()) if path.suffix != ".html"}


def of_output(path: Path) -> str:
    """A report, a video, a picture or a folder of pictures."""
    if path.suffix == ".json":
        return of_report(path)
    if path.is_dir():
        return of_values(*(part for one in sorted(path.iterdir()) for part in (one.name, pixels(one))))
    if path.suffix == ".webp":
        return of_animation(path)
    return of_values(pixels(path)) if path.suffix == ".png" else of_video(path)


def pixels(path: Path) -> NDArray[Any]:
    """As they are in the file."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def of_animation(path: Path) -> str:
    """Frames and durations of an animated picture, which FFmpeg does not read."""
    with Image.open(path) as animation:
        frames = ImageSequence.Iterator(animation)
        return of_values(*(part for one in frames for part in (np.asarray(one), one.info.get("duration"))))


def of_video(path: Path) -> str:
    """Planes as decoded, time stamps, and the packets of everything that is not video."""
    parts: list[Any] = []
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.stream.type != "video":
                parts += [str(packet.time_base), packet.pts, hashlib.sha256(bytes(packet)).hexdigest()]
                continue
            for frame in packet.decode():
                parts += [frame.format.name, str(frame.time_base), frame.pts, int(frame.colorspace)]
                # The fourth byte of bgr0 is padding.
                parts.append(frame.to_ndarray(format="rgb24" if frame.format.name == "bgr0" else None))
    return of_values(*parts)


def of_report(path: Path) -> str:
    """Who was where, what was set, what was measured: no times, no names of files, numbers to three digits."""
    report = json.loads(FOLDERS.sub('"', path.read_text()))
    kept = {name: report.get(name) for name in ("frames", "settings", "untouched", "regions")}
    return of_values(rounded(kept))


def of_inputs(folder: Path) -> Digests:
    """So that a difference of the inputs is not taken for one of the results."""
    videos = {f"input/{path.name}": of_video(path) for path in sorted(folder.glob("*.mp4"))}
    weights = {f"input/{path.name}": of_values(*load_file(path).values()) for path in folder.glob("*.safetensors")}
    return {**videos, **weights}


def rounded(value: Any) -> Any:
    """Floats to three decimals, at any depth."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 3) if isinstance(value, float) else value


# What is run ------------------------------------------------------------------------------------------------------


Case = Callable[[], Digests]


def clips(inputs: Path, out: Path) -> Iterator[tuple[str, Case]]:
    """The real clips whole, at a small working size."""
    for clip in sorted(CLIPS.glob("*.mp4")):
        line = f"detail {{clips}}/{clip.name} {{lossless}} {{quick}}"
        yield f"clip/{clip.stem}", partial(run_line, line, inputs, out)


def demo(inputs: Path, out: Path) -> Iterator[tuple[str, Case]]:
    """The first frames of the demo, at full size."""

    def run() -> Digests:
        script = runpy.run_path(str(ROOT / "examples" / "demo.py"))
        before, sys.argv = sys.argv, ["demo.py", "--out", str(out), "--end", "12f"]
        try:
            script["main"]()
        finally:
            sys.argv = before
        return of_folder(out)

    yield "demo", run


def lines(inputs: Path, out: Path) -> Iterator[tuple[str, Case]]:
    """Command lines."""
    for name, line in LINES["lines"].items():
        yield f"line/{name}", partial(run_line, f"detail {line}", inputs, out)
    yield "line/detect", partial(run_line, "detect {clips}/two_people.mp4 --end 20f", inputs, out)


def run_line(line: str, inputs: Path, out: Path) -> Digests:
    """Run ``redetail`` with the arguments of a line; raises where it does not end well."""
    for words in (LINES["words"], {"clips": str(CLIPS), "in": str(inputs), "out": str(out)}):
        for word, meaning in words.items():
            line = line.replace(f"{{{word}}}", meaning)
    code = command_line([*shlex.split(line), "--report", str(out / "report.json"), "--quiet"])
    if code:
        raise RuntimeError(f"redetail ended with {code}")
    return of_folder(out)


def library(inputs: Path, out: Path) -> Iterator[tuple[str, Case]]:
    """Arrays in and out; a long clip in several parts, by an engine that takes few pixels at once."""
    from redetail.engines import FakeEngine

    def small(engine: Any, pixels: int) -> Any:
        kind = type(engine)
        few = property(lambda self: replace(kind.capabilities.fget(self), part_pixels=pixels))
        engine.__class__ = type(f"Small{kind.__name__}", (kind,), {"capabilities": few})
        return engine

    def run(engine: Any, frames: NDArray[Any], **options: Any) -> Digests:
        result = redetail.detail(frames, engine=engine, **options)
        return {"frames": of_values(result.frames), "windows": of_values(*(one.path for one in result.regions))}

    yield "library/arrays", lambda: run(redetail.load_engine(device="cpu"), waves(6, 160, 128), **QUICK, seed=2)
    yield "library/float", lambda: run(FakeEngine(), waves(6, 160, 128).astype(np.float32) / 255, **QUICK)
    yield "library/parts-fake", lambda: run(small(FakeEngine(), 16 * 96 * 96), waves(70, 160, 128), **QUICK)
    yield (
        "library/parts",
        lambda: run(small(redetail.load_engine(device="cpu"), 20 * 96 * 96), waves(50, 160, 128), **QUICK),
    )


def nodes(inputs: Path, out: Path) -> Iterator[tuple[str, Case]]:
    """The nodes on recorded inputs, inside ComfyUI."""
    toys = inside_comfy()
    from redetail.comfy.registry import nodes_by_id
    from tests.comfy.inside import test_recorded_nodes as recorded
    from tests.comfy.inside import test_redetail_nodes as own

    classes = nodes_by_id()
    for name in sorted(recorded.recorded()[0]):
        yield f"node/{name}", lambda name=name: of_segs(recorded.detailed(name, classes, toys))

    def tracked() -> Digests:
        found = own.tracked(classes)
        result, pictures = own.detailed(classes, found, basic_pipe=toys.pipe())
        pasted = classes["RedetailPaste"]().doit(image_frames=own.frames(), segs=result, feather=4, strength=0.8)[0]
        crops = [np.stack([seg.crops[index] for index in range(own.FRAMES)]) for seg in result[1]]
        return {"crops": of_values(*crops), "pasted": of_values(pasted), "pictures": of_values(*pictures)}

    yield "node/tracked", tracked


def of_segs(answer: tuple[Any, list[torch.Tensor]]) -> Digests:
    """What a detailer node answers, with its pictures."""
    (header, segments), pictures = answer
    parts: list[Any] = [list(header)]
    for seg in segments:
        parts += [list(map(int, seg.crop_region)), list(map(int, seg.bbox)), seg.label, float(seg.confidence)]
        parts += [np.asarray(seg.cropped_mask), np.asarray(seg.cropped_image)]
    return {"segs": of_values(*parts), "pictures": of_values(*pictures)}


def inside_comfy() -> ModuleType:
    """Make the package ``comfy`` real in this process; the toys that the nodes run on."""
    import os
    from importlib import import_module

    comfy = Path(__file__).resolve().parents[1] / ".comfy"
    if not comfy.is_dir():
        raise RuntimeError("There is no ComfyUI to run the nodes in; make comfy installs one")
    os.environ["REDETAIL_INSIDE_COMFY"] = str(comfy)
    import_module("tests.comfy.inside.conftest")
    return import_module("tests.comfy.inside.toys")


# The table --------------------------------------------------------------------------------------------------------


def collect(only: Sequence[str]) -> Digests:
    """Run everything that was asked for; the message of a case that fails replaces its digests."""
    found: Digests = {}
    with tempfile.TemporaryDirectory() as folder:
        inputs, out = Path(folder) / "inputs", Path(folder) / "out"
        inputs.mkdir()
        write_inputs(inputs, CLIPS)
        found.update(of_inputs(inputs))
        for group, cases in {"clip": clips, "demo": demo, "line": lines, "library": library, "node": nodes}.items():
            if not any(group.startswith(one[: len(group)]) for one in only or ("",)):
                continue
            for name, run in cases(inputs, out):
                if not only or name.startswith(tuple(only)):
                    found.update(collected(name, run, out))
    return found


def collected(name: str, run: Case, out: Path) -> Digests:
    """The digests of one case, which has the folder ``out`` for itself."""
    with tempfile.TemporaryDirectory(dir=out.parent) as empty:
        out.unlink(missing_ok=True)
        out.symlink_to(empty, target_is_directory=True)
        try:
            parts = run()
        except Exception as error:  # noqa: BLE001  # whatever it is, it belongs in the table
            parts = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
    result = {f"{name}: {part}": digest for part, digest in parts.items()}
    for line, digest in result.items():
        log.info("%s  %s", digest, line)
    return result


def differences(before: Digests, after: Digests) -> list[str]:
    """A line for everything that is not equal."""
    names = sorted(before.keys() | after.keys())
    return [
        f"{name}: {before.get(name, 'missing')} -> {after.get(name, 'missing')}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def main() -> int:
    """Collect, and print, write or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the digests here, as JSON")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="name what differs from these")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="beginnings of names, as in line/sd")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    for noisy in ("redetail", "demo"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with contextlib.redirect_stderr(sys.stdout):
        found = collect(options.only)
    if options.write:
        options.write.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    if not options.compare:
        return 0
    before = json.loads(options.compare.read_text())
    if options.only:
        before = {name: digest for name, digest in before.items() if name.startswith((*options.only, "input/"))}
    wrong = differences(before, found)
    log.info("%d of %d digests differ", len(wrong), len(before | found))
    for line in wrong:
        log.info("%s", line)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
