"""Measure a model folder: `python training/evaluate.py --model FOLDER --yunet ONNX --output OUT [--media FOLDER ...]`.

The reserved clips are softened in two ways, cropped round the face (192x192 at their own scale) and restored by the
engine as its card says. Beside it stand its first pass alone, the same engine with its aligned neighbours alone, its
motion layers alone and each frame alone, the weights with the motion layers left out, and Real-ESRGAN's animevideov3.
Figures are against the softened input brought back by bicubic interpolation: PSNR, VMAF and the flow-warped error along
the original's flow. With `--held-out DATA` the watched files of the training set take the place of the reserved clips,
and `--ways` other settings can be compared on them.

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
from measure import ffmpeg, psnr, vmaf, warped_error
from subjects import SOFTENINGS, Clip, Subject, held_out_clips, reserved_clips, subjects

from redetail.engines import Engine, enhance_arrays, load_engine
from redetail.engines.restoration import RestorationUNet, load, save
from redetail.settings import resolve

log = logging.getLogger("evaluate")
Restore = Callable[[Subject], Clip]
Row = dict[str, float]


def with_engine(engine: Engine, **changes: Any) -> Restore:
    """Restore by an engine with its card's defaults, but for these changes."""
    settings = resolve(changes, engine.capabilities.defaults)

    def restore(subject: Subject) -> Clip:
        crops = subject.soft.astype(np.float32) / 255
        output = enhance_arrays(engine, crops, np.ones((1, *crops.shape[1:3]), np.float32), settings)
        return np.asarray(np.rint(output * 255), np.uint8)

    return restore


def each_frame_alone(restore: Restore) -> Restore:
    """Restore every frame as a clip of its own, which has no neighbours."""

    def one_by_one(subject: Subject) -> Clip:
        frames = (slice(number, number + 1) for number in range(len(subject.clip)))
        alone = (dataclasses.replace(subject, clip=subject.clip[f], small=subject.small[f]) for f in frames)
        return np.concatenate([restore(frame) for frame in alone])

    return one_by_one


def changed(folder: Path, change: Callable[[RestorationUNet], RestorationUNet]) -> Engine:
    """The engine of the same weights, some of them changed in each of its networks."""
    loaded = load(folder)
    with tempfile.TemporaryDirectory() as name:
        save(name, change(loaded.network), loaded.card, loaded.draft and change(loaded.draft))
        return load_engine(name, device="cpu")


def first_pass(folder: Path) -> Engine | None:
    """An engine of the network that makes the drafts, if there is one."""
    loaded = load(folder)
    if loaded.draft is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        save(name, loaded.draft, loaded.card)
        return load_engine(name, device="cpu")


def without_motion(network: RestorationUNet) -> RestorationUNet:
    """The motion layers left out."""
    bare = RestorationUNet(dataclasses.replace(network.config, motion_channels=(0,) * len(network.config.channels)))
    bare.load_state_dict({key: value for key, value in network.state_dict().items() if key in bare.state_dict()})
    return bare


def without_neighbours(network: RestorationUNet) -> RestorationUNet:
    """As if no frame differed from the ones beside it."""
    for weighing in (network.fuse, network.review):
        if weighing is not None:
            weighing[0].weight[:, network.config.latent_channels :] = 0
    return network


def with_esrgan(factor: int, threads: int, cache: Path) -> Restore:
    """Enlarge the small frames, and bring what comes out to the size of the original; results are kept in a folder."""
    network = load_esrgan(factor, threads)

    def restore(subject: Subject) -> Clip:
        path = cache / f"esrgan_x{factor}_{len(subject.small)}x{subject.small.shape[1]}_{subject.name}.npy"
        if not path.exists():
            np.save(path, enlarge(network, subject.small))
        large: Clip = np.load(path)
        return subject.from_small(large, "area" if large.shape[1] > subject.clip.shape[1] else "cubic")

    return restore


def figures(subject: Subject, output: Clip, program: str | None) -> Row:
    """What is measured of one output."""
    original = subject.original
    row = {"psnr": psnr(output, original), "warped": warped_error(output, original)}
    return {**row, "vmaf": vmaf(output, original, program)} if program else row


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


def clip_table(results: dict[str, dict[str, Row]], base: str, way: str) -> str:
    """One way, clip by clip."""
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
    if first := first_pass(options.model):
        ways["redetail, first pass only"] = with_engine(first)
    ways["redetail, aligned neighbours only"] = with_engine(engine, context_length=1, context_overlap=0)
    ways["redetail, motion layers only"] = with_engine(changed(options.model, without_neighbours))
    ways["redetail, each frame alone"] = each_frame_alone(ways["redetail"])
    ways["redetail, motion layers left out"] = with_engine(changed(options.model, without_motion))
    if options.esrgan:
        for factor in (2, 4):
            ways[f"Real-ESRGAN animevideov3 x{factor}"] = with_esrgan(factor, options.threads, options.output)
    return ways


def settings_from(text: str) -> dict[str, Any]:
    """Settings from text as in ``cfg=1.2,steps=2``."""
    pairs = [item.split("=", 1) for item in text.split(",") if item]
    return {key: json.loads(value) if value[:1].isdigit() else value for key, value in pairs}


def measured(
    crops: list[Subject], ways: dict[str, Restore], program: str | None
) -> tuple[dict[str, dict[str, Row]], list[list[Clip]]]:
    """Figures of every way and clip, and the outputs."""
    results: dict[str, dict[str, Row]] = {}
    outputs = []
    for name, restore in ways.items():
        clips = [restore(crop) for crop in crops]
        results[name] = {crop.name: figures(crop, clip, program) for crop, clip in zip(crops, clips, strict=True)}
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
    parser.add_argument("--held-out", type=Path, help="what prepare.py wrote: measure its watched files instead")
    parser.add_argument("--ways", nargs="*", default=[], help="settings to compare, as in cfg=1,steps=2")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--vmaf", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--esrgan", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Measure and write."""
    options = parse()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    program = ffmpeg() if options.vmaf else None
    ways = ways_of(options)
    if options.held_out:
        clips = held_out_clips(options.held_out, options.frames)
    else:
        clips = reserved_clips(options.media, options.frames)
    names, everything, text = list(ways), {}, ""
    for softening, how in SOFTENINGS.items():
        crops = subjects(clips, how, options.yunet)
        results, outputs = measured(crops, ways, program)
        everything[softening] = results
        text += f"### {softening}\n\n{table(results, names)}\n{clip_table(results, names[0], names[1])}\n"
        log.info("%s\n%s", softening, table(results, names))
        write_sheet(options.output / f"{softening}.png", [*outputs, [crop.original for crop in crops]])
    (options.output / "results.json").write_text(json.dumps(everything, indent=1))
    (options.output / "table.md").write_text(text)


if __name__ == "__main__":
    try:
        main()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        sys.exit(str(error))
