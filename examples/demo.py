"""Detail a softened copy of a real clip and measure what was won: ``make demo`` or ``python examples/demo.py``.

The input is made from a shipped clip: half size and back, compressed with CRF 23, the default of x264. So the original
is known, and the faces of the result can be compared with the true ones. Everything goes to ``out/``::

    softened.mp4       the input
    detailed.mp4       the result
    side_by_side.mp4   both next to one another
    report.json        tracks, settings, timings, fidelity; "against_original" is what this script measured
    contact_sheet.png  the face in five frames: original, softened, detailed
"""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

import redetail
from redetail.evaluate.sheet import contact_sheet, save_png, zoomed

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "tests" / "data" / "clips" / "guitarist.mp4"
SOFT_CRF = 23
COLUMNS = 5
TILE = 224
log = logging.getLogger("demo")

Frame = NDArray[np.uint8]


def main() -> None:
    """Soften, detail, measure, draw."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("redetail").setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(description="Detail a softened copy of a real clip and measure what was won.")
    parser.add_argument("--clip", type=Path, default=CLIP, help="sharp clip to start from")
    parser.add_argument("--out", type=Path, default=ROOT / "out", help="folder for the results")
    parser.add_argument("--end", help="stop here, as in 24f (default: the whole clip)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    softened, detailed = options.out / "softened.mp4", options.out / "detailed.mp4"

    log.info("Softening %s: half size and back, CRF %d", options.clip.name, SOFT_CRF)
    soften(options.clip, softened)
    report = options.out / "report.json"
    result = redetail.detail(
        softened,
        detailed,
        compare=options.out / "side_by_side.mp4",
        report=report,
        end=options.end,
        progress=say_passes(),
    )
    for notice in result.notices:
        log.info("Note: %s", notice)
    gain = measure((options.clip, softened, detailed), result.regions)
    gain.sheet(options.out / "contact_sheet.png")
    add_to_report(report, gain)
    log.info("PSNR inside the face boxes, against the original, over %d boxes:", gain.boxes)
    log.info("  softened %.2f dB, detailed %.2f dB: %+.2f dB", gain.before, gain.after, gain.after - gain.before)
    log.info("See %s, side_by_side.mp4 and contact_sheet.png", detailed)


def soften(clip: Path, output: Path) -> None:
    """A copy of the clip at half its sharpness, recompressed."""
    with av.open(str(clip)) as source, av.open(str(output), "w") as sink:
        video = source.streams.video[0]
        # With its macroblock tree x264 gives other bits from run to run.
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


@dataclass
class Gain:
    """Squared errors inside the faces, summed over the clip, and the tiles of the contact sheet."""

    errors: list[float] = field(default_factory=lambda: [0.0, 0.0])
    values: int = 0
    boxes: int = 0
    tiles: list[list[Frame]] = field(default_factory=list)

    @property
    def before(self) -> float:
        """PSNR of the input in dB."""
        return psnr(self.errors[0] / self.values)

    @property
    def after(self) -> float:
        """PSNR of the result in dB."""
        return psnr(self.errors[1] / self.values)

    def add(self, original: Frame, *others: Frame) -> None:
        """Count one face box of the original and of the others, which have the same size."""
        self.boxes += 1
        self.values += original.size
        for index, other in enumerate(others):
            self.errors[index] += float(np.square(original.astype(np.float64) - other).sum())

    def sheet(self, path: Path) -> None:
        """Write the tiles as a picture with a row for each clip."""
        rows = list(zip(*self.tiles, strict=True))
        save_png(path, contact_sheet(rows, row_labels=("original", "softened", "detailed")))


def measure(clips: Sequence[Path], regions: Sequence[redetail.Region]) -> Gain:
    """Compare the clips (original, input, result) inside the regions' boxes; raises where no face was found."""
    if not regions:
        raise redetail.RedetailError("No face was found in the demo's clip; there is nothing to measure.")
    gain = Gain()
    shown = {regions[0].start + len(regions[0]) * (2 * column + 1) // (2 * COLUMNS) for column in range(COLUMNS)}
    for number, frames in enumerate(zip(*map(frames_of, clips), strict=False)):  # the result may end earlier, see --end
        for region in regions:
            if region.start <= number < region.stop:
                gain.add(*(cut(frame, region.box(number - region.start)) for frame in frames))
        if number in shown:
            gain.tiles.append([tile(frame, regions[0].box(number - regions[0].start)) for frame in frames])
    return gain


def frames_of(path: Path) -> Iterator[Frame]:
    """The clip's pictures, (H, W, 3) uint8."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def cut(frame: Frame, box: redetail.Box) -> Frame:
    """The pixels inside a box, rounded to whole pixels and clipped to the frame."""
    x1, y1, x2, y2 = (max(round(value), 0) for value in box.as_tuple())
    return frame[y1:y2, x1:x2]


def tile(frame: Frame, box: redetail.Box) -> Frame:
    """The face and a little around it as a square picture of the contact sheet."""
    (x, y), half = box.center, 0.625 * max(box.width, box.height)
    return zoomed(frame, redetail.Box(x - half, y - half, x + half, y + half), redetail.Size(TILE, TILE))


def psnr(mean_squared_error: float) -> float:
    """Peak signal to noise ratio in dB of 8-bit values."""
    return 10 * math.log10(255**2 / mean_squared_error) if mean_squared_error else math.inf


def add_to_report(path: Path, gain: Gain) -> None:
    """Put the measured figures into the report."""
    report = json.loads(path.read_text())
    report["against_original"] = {
        "psnr_softened_db": round(gain.before, 3),
        "psnr_detailed_db": round(gain.after, 3),
        "boxes": gain.boxes,
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
