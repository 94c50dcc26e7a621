"""Peak memory of large frames and large crops with the bundled model (Linux).

    python benchmarks/close_up.py

A shared clip is enlarged until its face is 480 pixels wide, in frames of 3840x2160, and detailed by the command line
and by the ComfyUI nodes. Then a crop of 1400x1400 pixels is detailed at its own size and with a max_size of 512. Each
is a separate process. Prints JSON, in MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from clips import FOLDER, ROOT, write_h264
from engine_memory import status
from numpy.typing import NDArray
from processes import alone

CLIP = FOLDER / "guitarist.mp4"
WIDTH, HEIGHT, FACE, OWN = 3840, 2160, 480, 81.4  # of the frames, of the face in them, and of the face in the clip
CROP = 1400
MIB = 2**20


def enlarged(frames: int) -> list[NDArray[np.uint8]]:
    """Frames of the clip with a face of 480 pixels, in the middle of large ones."""
    import cv2

    from redetail.video import open_source

    pictures = []
    for frame in open_source(CLIP).frames(0, frames):
        scale = FACE / OWN
        large = cv2.resize(frame.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)[:HEIGHT]
        down, across = HEIGHT - large.shape[0], WIDTH - large.shape[1]
        sides = (0, down, across // 2, across - across // 2)
        pictures.append(np.asarray(cv2.copyMakeBorder(large, *sides, cv2.BORDER_REPLICATE), np.uint8))
    return pictures


def write_clip(path: str, frames: int) -> None:
    """The enlarged frames as H.264."""
    write_h264(path, enlarged(frames), (WIDTH, HEIGHT), crf=18)


def command_line(clip: str, folder: str) -> dict[str, Any]:
    """``redetail detail`` from file to file: everything that its process holds."""
    command = [sys.executable, "-m", "redetail", "detail", clip, "-o", f"{folder}/out.mp4", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=ROOT)
    _, code, usage = os.wait4(process.pid, 0)
    assert code == 0
    return {"resident_mib": round(usage.ru_maxrss / 1024)}


def nodes(frames: int) -> dict[str, Any]:
    """Redetail Track, Detailer and Paste: what the process holds in addition to the frames in and out."""
    sys.path.insert(0, str(ROOT / "tests" / "comfy" / "inside"))
    os.environ.setdefault("REDETAIL_INSIDE_COMFY", str(ROOT / ".comfy"))
    import conftest  # noqa: F401  # readies ComfyUI for a machine without a GPU
    import torch

    from redetail.comfy.nodes.redetailer import RedetailDetailer, RedetailPaste
    from redetail.comfy.nodes.track import RedetailTrack

    given = torch.empty((frames, HEIGHT, WIDTH, 3))
    for index, picture in enumerate(enlarged(frames)):
        given[index] = torch.from_numpy(picture) / 255
    widgets = {"sampler_name": "euler", "scheduler": "normal", **_defaults(RedetailDetailer)}
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    with torch.inference_mode():
        (found,) = RedetailTrack.doit(given, 1.8, 1, 0.5, 16, 0.0, "pixels", False)
        detailed, _ = RedetailDetailer.doit(image_frames=given, segs=found, **widgets)
        (result,) = RedetailPaste.doit(given, detailed, 5, 1.0)
    assert result.shape == given.shape
    assert not torch.equal(result, given)
    both = given.nbytes + result.nbytes
    return {"frames_in_and_out_mib": round(both / MIB), "beside_them_mib": round((status("VmHWM") - both) / MIB)}


def _defaults(node: Any) -> dict[str, Any]:
    """The widgets of a node that it needs and that have a default."""
    needed = node.INPUT_TYPES()["required"].items()
    return {name: options[1]["default"] for name, options in needed if "default" in options[-1]}


def crop_at(max_size: int, frames: int) -> dict[str, Any]:
    """A crop that fills its frame: what the run takes in addition to the loaded model and the frames."""
    import redetail

    engine = redetail.load_engine(device="cpu")
    given = np.stack([picture[:CROP, -WIDTH // 2 - CROP // 2 :][:, :CROP] for picture in enlarged(frames)])
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    result = redetail.detail(given, engine=engine, box=(0, 0, CROP, CROP), crop_factor=1, max_size=max_size)
    (crop,) = result.report.plan.crops
    return {"worked_on_at": str(crop.working), "memory_mib": round((status("VmHWM") - before) / MIB)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=24, help="of the large clip [24]")
    options = parser.parse_args()
    figures: dict[str, Any] = {"date": str(date.today()), "machine": platform.machine(), "frames": options.frames}
    with tempfile.TemporaryDirectory() as folder:
        clip = f"{folder}/clip.mp4"
        alone(write_clip, clip, options.frames)
        print(json.dumps(figures | {"command line": command_line(clip, folder)}), flush=True)
    print(json.dumps({"nodes": alone(nodes, options.frames)}), flush=True)
    crops = [alone(crop_at, side, 16) for side in (CROP, 512)]
    ratio = crops[1]["memory_mib"] / crops[0]["memory_mib"]
    print(json.dumps({"crop of 1400x1400": crops, "ratio": round(ratio, 3)}))


if __name__ == "__main__":
    main()
