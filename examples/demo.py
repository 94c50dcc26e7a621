"""Detail a softened copy of a real clip at twice its size and measure the gain: run ``make demo``.

The input is made from a shipped clip: half size and back, compressed with CRF 23, the default of x264. So the original
is known, and the faces of the result can be compared with the true ones. Everything goes to ``out/``::

    softened.mp4       the input
    detailed.mp4       the result, at twice the input's size
    side_by_side.mp4   both side by side
    report.html        the report as a page: pictures, curves, settings
    report.json        its figures alone
    contact_sheet.png  the face at a few moments: softened, detailed, original
    evaluation.json    what ``redetail evaluate`` measured against the original, frame by frame
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

import redetail
from redetail.cli.main import main as command_line

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "tests" / "data" / "clips" / "guitarist.mp4"
SOFT_CRF = 23
SCALE = 2
log = logging.getLogger("demo")

Frame = NDArray[np.uint8]


def main() -> None:
    """Soften, detail, measure, draw."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("redetail").setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(description="Detail a softened copy of a real clip and measure the gain.")
    parser.add_argument("--clip", type=Path, default=CLIP, help="sharp clip to start from")
    parser.add_argument("--out", type=Path, default=ROOT / "out", help="folder for the results")
    parser.add_argument("--end", help="stop here, as in 24f (default: the whole clip)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    softened, detailed = options.out / "softened.mp4", options.out / "detailed.mp4"

    log.info("Softening %s: half size and back, CRF %d", options.clip.name, SOFT_CRF)
    soften(options.clip, softened)
    result = redetail.detail(
        softened,
        detailed,
        scale=SCALE,
        compare=options.out / "side_by_side.mp4",
        report=options.out / "report.html",
        end=options.end,
        progress=say_passes(),
    )
    (options.out / "report.json").write_text(json.dumps(result.report.to_document(), indent=1) + "\n")
    for notice in result.notices:
        log.info("Note: %s", notice)
    evaluate(options.clip, softened, detailed, options.out, options.end)
    log.info("See %s, report.html, side_by_side.mp4 and contact_sheet.png", detailed)


def evaluate(clip: Path, softened: Path, detailed: Path, out: Path, end: str | None) -> None:
    """Print how close softened and detailed faces are to the true ones; write the figures and pictures of all three."""
    line = ["evaluate", str(softened), f"detailed={detailed}", "--original", str(clip), "--overwrite"]
    line += ["--report", str(out / "evaluation.json"), "--sheet", str(out / "contact_sheet.png")]
    if command_line([*line, *(["--end", end] if end else [])]):
        raise SystemExit("The result could not be measured; the message above says why.")


def soften(clip: Path, output: Path) -> None:
    """A copy of the clip at half its sharpness, recompressed."""
    with av.open(str(clip)) as source, av.open(str(output), "w") as sink:
        video = source.streams.video[0]
        # With macroblock trees, x264's output differs from run to run.
        options = {"crf": str(SOFT_CRF), "x264-params": "mbtree=0"}
        stream = sink.add_stream("libx264", rate=video.average_rate, options=options)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.time_base = video.time_base
        for frame in source.decode(video):
            soft = av.VideoFrame.from_ndarray(softened_pixels(frame.to_ndarray(format="rgb24")), format="rgb24")
            soft.pts, soft.time_base = frame.pts, frame.time_base
            sink.mux(stream.encode(soft))
        sink.mux(stream.encode(None))


def softened_pixels(pixels: Frame) -> Frame:
    """Half size by area, back by bicubic: what a cheap upscaler leaves."""
    height, width = pixels.shape[:2]
    half = cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(half, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def say_passes() -> redetail.ProgressCallback:
    """A progress callback that names each pass once."""
    seen: set[str] = set()

    def say(report: redetail.Progress) -> None:
        if report.stage not in seen:
            seen.add(report.stage)
            log.info("Pass: %s", report.stage)

    return say


if __name__ == "__main__":
    main()
