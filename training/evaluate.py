"""Measure a model folder: `python training/evaluate.py --model FOLDER --yunet ONNX --output OUT [--media FOLDER ...]`.

The reserved clips are softened in two ways, cropped around the face (192x192 at their own scale) and restored by the
engine as its card says, at its own working size. It is compared with the faithful end of its dial and with
Real-ESRGAN's animevideov3; with `--parts` also with its first pass alone, the same engine with its aligned neighbours
alone, its motion layers alone and each frame alone, and the weights with the motion layers left out. Figures are
against the softened input brought back by bicubic interpolation: PSNR, VMAF and the flow-warped error along the
original's flow; and against the original: detail, the correlation of fine detail, overshoot at edges and, with
`--faceres`, the distance in a network that judges faces (see measure.py and faceres.py). `--held-out DATA` measures the
monitored files of the training set instead of the reserved clips, and `--ways` compares other settings on them.

Writes OUT/results.json, OUT/table.md and OUT/half.png and third.png: softened, each way, original, side by side.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from esrgan import enlarge, load_esrgan
from faceres import FaceRes
from measure import detail, ffmpeg, high_correlation, overshoot, psnr, vmaf, warped_error
from subjects import SIDE, SOFTENINGS, Clip, Subject, held_out_clips, reserved_clips, subjects

from redetail.engines import Engine, enhance_arrays, load_engine
from redetail.engines.restoration import RestorationUNet, load, save
from redetail.engines.restoration.dial import FAITHFUL
from redetail.geometry.crop import working_crop
from redetail.imaging import resample
from redetail.region import Box, Size
from redetail.settings import resolve

log = logging.getLogger("evaluate")
Restore = Callable[[Subject], Clip]
Row = dict[str, float]


def with_engine(engine: Engine, **changes: Any) -> Restore:
    """Restore with an engine and its card's defaults except for these changes, at their working size."""
    settings = resolve(changes, engine.capabilities.defaults)
    frame = Size(SIDE, SIDE)
    working, padding = working_crop(frame, (SIDE, SIDE), settings, engine.capabilities.size_multiple, shrink=True)
    window = Box(0, 0, SIDE, SIDE)

    def restore(subject: Subject) -> Clip:
        soft = subject.soft.astype(np.float32) / 255
        crops = np.stack([resample.crop(picture, window, working) for picture in soft])
        given = resample.pad(crops, padding)
        output = enhance_arrays(engine, given, np.ones((1, *given.shape[1:3]), np.float32), settings)
        change = resample.unpad(output, padding) - crops
        back = [resample.place(each, window, frame)[0] for each in change]
        return np.asarray(np.rint(np.clip(soft + back, 0, 1) * 255), np.uint8)

    return restore


def each_frame_alone(restore: Restore) -> Restore:
    """Restore every frame as a separate clip without neighbours."""

    def one_by_one(subject: Subject) -> Clip:
        frames = (slice(number, number + 1) for number in range(len(subject.clip)))
        alone = (dataclasses.replace(subject, clip=subject.clip[f], small=subject.small[f]) for f in frames)
        return np.concatenate([restore(frame) for frame in alone])

    return one_by_one


def changed(folder: Path, change: Callable[[RestorationUNet], RestorationUNet]) -> Engine:
    """The engine of the same weights, some of them changed in each of its networks."""
    loaded = load(folder)
    with tempfile.TemporaryDirectory() as name:
        networks = (loaded.draft, loaded.inventive)
        save(name, change(loaded.network), loaded.card, *(part and change(part) for part in networks))
        return load_engine(name, device="cpu")


def first_pass(folder: Path) -> Engine | None:
    """An engine of the network that makes the drafts, if there is one."""
    loaded = load(folder)
    if loaded.draft is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        save(name, loaded.draft, loaded.card)  # a single network, whose dial ends at the middle of that of two
        return load_engine(name, device="cpu")


def without_motion(network: RestorationUNet) -> RestorationUNet:
    """The motion layers left out."""
    bare = RestorationUNet(dataclasses.replace(network.config, motion_channels=(0,) * len(network.config.channels)))
    bare.load_state_dict({key: value for key, value in network.state_dict().items() if key in bare.state_dict()})
    return bare


def without_neighbours(network: RestorationUNet) -> RestorationUNet:
    """As if no frame differed from the ones beside it."""
    for weighing in (network.fuse, network.review):
        if weighing is not None:  # their differences follow the picture's own coefficients
            weighing[0].weight[:, network.config.latent_channels :] = 0
    return network


def with_esrgan(factor: int, threads: int, cache: Path) -> Restore:
    """Enlarge the small frames and scale the result to the size of the original; results are cached in a folder."""
    network = load_esrgan(factor, threads)

    def restore(subject: Subject) -> Clip:
        path = cache / f"esrgan_x{factor}_{len(subject.small)}x{subject.small.shape[1]}_{subject.name}.npy"
        if not path.exists():
            np.save(path, enlarge(network, subject.small))
        large: Clip = np.load(path)
        return subject.from_small(large, "area" if large.shape[1] > subject.clip.shape[1] else "cubic")

    return restore


@dataclasses.dataclass(frozen=True)
class Judges:
    """Optional judges of an output; None: left out."""

    vmaf: str | None = None
    faces: FaceRes | None = None


def figures(subject: Subject, output: Clip, judges: Judges) -> Row:
    """The figures of one output."""
    original = subject.original
    row = {
        "psnr": psnr(output, original),
        "warped": warped_error(output, original),
        "detail": detail(output, original),
        "high": high_correlation(output, original),
        "overshoot": overshoot(output, original) / overshoot(original, original),
    }
    if judges.vmaf:
        row["vmaf"] = vmaf(output, original, judges.vmaf)
    if judges.faces:
        row["face"] = judges.faces.distance(output[::4], original[::4])
    return row


def table(results: dict[str, dict[str, Row]], names: list[str]) -> str:
    """Means and worst clips of every way, against the first one, as a Markdown table."""
    base = results[names[0]]
    head = ("way", "PSNR dB", "gain", "worst clip", "VMAF", "gain", "warped error / input's", "worst clip")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in names:
        column = {key: np.array([row[key] for row in results[name].values()]) for key in ("psnr", "warped")}
        first = {key: np.array([row[key] for row in base.values()]) for key in ("psnr", "warped")}
        gain, ratio = column["psnr"] - first["psnr"], column["warped"] / first["warped"]
        vmafs = [[row.get("vmaf", float("nan")) for row in rows.values()] for rows in (results[name], base)]
        lines.append(
            f"| {name} | {column['psnr'].mean():.2f} | {gain.mean():+.2f} | {gain.min():+.2f} "
            f"| {np.mean(vmafs[0]):.1f} | {np.mean(vmafs[0]) - np.mean(vmafs[1]):+.1f} "
            f"| {column['warped'].mean() / first['warped'].mean():.2f} | {ratio.max():.2f} |"
        )
    return "\n".join(lines) + "\n"


LOOKS = {
    "detail": "detail",
    "high": "correlation of high frequencies",
    "overshoot": "overshoot",
    "face": "face distance",
}


def looks_table(results: dict[str, dict[str, Row]], names: list[str]) -> str:
    """Mean and worst clip of what a person would see, over the original's; for faces, the increase over the input."""
    kept = {key: title for key, title in LOOKS.items() if key in next(iter(results[names[0]].values()))}
    lines = ["| way | " + " | ".join(f"{title} | worst clip" for title in kept.values()) + " |"]
    lines.append("|---" * (1 + 2 * len(kept)) + "|")
    for name in names:
        cells = []
        for key in kept:
            values = np.array([row[key] for row in results[name].values()])
            first = np.array([row[key] for row in results[names[0]].values()])
            worst = {"overshoot": f"{values.max():.2f}", "face": f"{(values - first).max():+.3f}"}
            cells.append(f"{values.mean():.3f} | {worst.get(key, f'{values.min():.2f}')}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def clip_table(results: dict[str, dict[str, Row]], base: str, way: str) -> str:
    """The figures of one way for each clip."""
    lines = ["| clip | input dB | gain | warped error / input's |", "|---" * 4 + "|"]
    for name, row in results[way].items():
        first = results[base][name]
        gain, ratio = row["psnr"] - first["psnr"], row["warped"] / first["warped"]
        lines.append(f"| `{name}` | {first['psnr']:.2f} | {gain:+.2f} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


def write_sheet(path: Path, columns: list[list[Clip]]) -> None:
    """The middle frame of every clip, one clip a row and one way a column."""
    rows = zip(*columns, strict=True)
    picture = np.concatenate([np.concatenate([clip[len(clip) // 2] for clip in row], axis=1) for row in rows])
    cv2.imwrite(str(path), picture[..., ::-1])


def ways_of(options: argparse.Namespace) -> dict[str, Restore]:
    """Everything that is compared, by name; the input first."""
    engine = load_engine(options.model, device="cpu")
    ways: dict[str, Restore] = {"bicubic input": lambda subject: subject.soft}
    if options.ways:
        for text in options.ways:
            ways[text or "as the card says"] = with_engine(engine, **settings_from(text))
        return ways
    ways["redetail"] = with_engine(engine)
    if load(options.model).inventive:
        ways["redetail, faithful"] = with_engine(engine, denoise=FAITHFUL)
    if options.parts:
        ways.update(parts_of(options.model, engine))
    if options.esrgan:
        for factor in (2, 4):
            ways[f"Real-ESRGAN animevideov3 x{factor}"] = with_esrgan(factor, options.threads, options.output)
    return ways


def parts_of(model: Path, engine: Engine) -> dict[str, Restore]:
    """What the parts of a model do by themselves."""
    ways = {}
    if first := first_pass(model):
        ways["redetail, first pass only"] = with_engine(first)
    ways["redetail, aligned neighbours only"] = with_engine(engine, context_length=1, context_overlap=0)
    ways["redetail, motion layers only"] = with_engine(changed(model, without_neighbours))
    ways["redetail, each frame alone"] = each_frame_alone(with_engine(engine))
    ways["redetail, motion layers left out"] = with_engine(changed(model, without_motion))
    return ways


def settings_from(text: str) -> dict[str, Any]:
    """Settings from text as in ``cfg=1.2,steps=2``."""
    pairs = [item.split("=", 1) for item in text.split(",") if item]
    return {key: json.loads(value) if value[:1].isdigit() else value for key, value in pairs}


def measured(
    crops: list[Subject], ways: dict[str, Restore], judges: Judges
) -> tuple[dict[str, dict[str, Row]], list[list[Clip]]]:
    """Figures of every way and clip, and the outputs."""
    results: dict[str, dict[str, Row]] = {}
    outputs = []
    for name, restore in ways.items():
        clips = [restore(crop) for crop in crops]
        results[name] = {crop.name: figures(crop, clip, judges) for crop, clip in zip(crops, clips, strict=True)}
        outputs.append(clips)
        log.info("%s: done", name)
    return results, outputs


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--yunet", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--media", type=Path, nargs="*", default=[])
    parser.add_argument("--held-out", type=Path, help="what prepare.py wrote: measure its monitored files instead")
    parser.add_argument("--ways", nargs="*", default=[], help="settings to compare, as in cfg=1,steps=2")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--vmaf", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--esrgan", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--parts", action="store_true", help="also measure what its parts do by themselves")
    parser.add_argument("--keep", action="store_true", help="keep the outputs, for blind.py")
    parser.add_argument("--faceres", type=Path, help="models/faceres.json of npm's @vladmandic/human")
    parser.add_argument("--only", nargs="*", default=[], help="names of reserved clips; none: all of them")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Measure and write."""
    options = parse()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    judges = Judges(ffmpeg() if options.vmaf else None, FaceRes(options.faceres) if options.faceres else None)
    ways = ways_of(options)
    if options.held_out:
        clips = held_out_clips(options.held_out, options.frames)
    else:
        clips = reserved_clips(options.media, options.frames)
        clips = {name: clips[name] for name in options.only or clips}
    names, everything, text = list(ways), {}, ""
    for softening, how in SOFTENINGS.items():
        crops = subjects(clips, how, options.yunet)
        results, outputs = measured(crops, ways, judges)
        everything[softening] = results
        tables = f"{table(results, names)}\n{looks_table(results, names)}"
        text += f"### {softening}\n\n{tables}\n{clip_table(results, names[0], names[1])}\n"
        log.info("%s\n%s", softening, tables)
        if options.keep:
            kept = {f"{crop.name}|original": crop.original for crop in crops}
            for name, clips_of in zip(names, outputs, strict=True):
                kept |= {f"{crop.name}|{name}": clip for crop, clip in zip(crops, clips_of, strict=True)}
            np.savez_compressed(options.output / f"outputs_{softening}.npz", **kept)
        write_sheet(options.output / f"{softening}.png", [*outputs, [crop.original for crop in crops]])
    (options.output / "results.json").write_text(json.dumps(everything, indent=1))
    (options.output / "table.md").write_text(text)


if __name__ == "__main__":
    try:
        main()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        sys.exit(str(error))
