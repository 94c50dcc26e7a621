"""Measure a model folder on reserved clips: `python training/evaluate.py --model FOLDER --yunet ONNX --output OUT`.

Each clip is softened in two ways, cropped round its face (192x192 at its own scale) and restored. Figures are against
the softened input brought back by bicubic interpolation: PSNR, and the flow-warped error (mean squared difference in
levels between a frame and its predecessor moved along the *original's* optical flow, occlusions left out).
Writes OUT/results.json, OUT/table.md and one PNG a softening: input, output, output frame by frame, original.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import itertools

from degrade import Degradation, degrade
from prepare import is_reserved, media_files, read_frames

from redetail.engines.restoration import ResidualCodec, RestorationUNet, load
from redetail.imaging.flow import Flow, dense_flow, occluded, warp
from redetail.sampling import NoiseTable, SamplingRequest, sample

log = logging.getLogger("evaluate")

CLIPS = (
    "video_wan2_2_14B_s2v-1",
    "video_wan2_2_5B_ti2v-1",
    "video_wan2_1_infinitetalk-1",
    "video_humo-1",
    "video_ltx2_3_id_lora-1",
    "api_bria_video_replace_background-1",
    "api_happyhorse1_1_i2v-1",
    "api_heygen_video_1_t2v-1",
    "api_kling_o3_t2v-1",
    "api_bytedance_seedance1_5_image_to_video-1",
)
SOFTENINGS = {
    "half": Degradation(factor=2.0, codec="h264", quality=30),
    "third": Degradation(factor=3.4, codec="jpeg", quality=75),
}
SIDE = 192
Clip = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to run the network."""

    steps: int = 1
    denoise: float = 1.0
    sampler: str = "euler"
    scheduler: str = "sgm_uniform"
    cfg: float = 1.0
    motion: bool = True

    def __str__(self) -> str:
        text = f"{self.sampler} {self.scheduler} {self.steps} steps, cfg {self.cfg:g}, denoise {self.denoise:g}"
        return text if self.motion else f"{text}, frame by frame"


@dataclass(frozen=True)
class Subject:
    """A crop of a clip as it was and softened, (F, side, side, 3), with the original's flow to each predecessor."""

    name: str
    original: Clip
    soft: Clip
    flows: list[tuple[Flow, NDArray[np.bool_]]]


def face_window(clip: Clip, yunet: Path) -> tuple[int, int]:
    """Left and top of the SIDE x SIDE window round the median position of the largest face."""
    detector = cv2.FaceDetectorYN.create(str(yunet), "", (clip.shape[2], clip.shape[1]), 0.6)
    boxes = [
        faces[np.argmax(faces[:, 2])][:4]
        for frame in clip[::4]
        if (faces := detector.detect(np.ascontiguousarray(frame[..., ::-1]))[1]) is not None
    ]
    x, y, w, h = np.median(boxes, axis=0) if boxes else (clip.shape[2] / 2, clip.shape[1] / 2, 0, 0)
    left = int(np.clip(x + w / 2 - SIDE / 2, 0, clip.shape[2] - SIDE))
    return left, int(np.clip(y + h / 2 - SIDE / 2, 0, clip.shape[1] - SIDE))


def original_flows(clip: Clip) -> list[tuple[Flow, NDArray[np.bool_]]]:
    """Flow of each frame to its predecessor and where it holds."""
    pairs = [(dense_flow(now, before), dense_flow(before, now)) for before, now in itertools.pairwise(clip)]
    return [(forward, ~occluded(forward, back)) for forward, back in pairs]


def subjects(folders: list[Path], frames: int, softening: Degradation, yunet: Path) -> list[Subject]:
    """The crops of all CLIPS. Raises FileNotFoundError where one is missing."""
    paths = {path.stem: path for path in media_files(folders) if path.stem in CLIPS}
    if missing := sorted(set(CLIPS) - set(paths)):
        raise FileNotFoundError(f"not among the media files: {', '.join(missing)}")
    found = []
    for name in CLIPS:
        assert is_reserved(name), f"{name} may have been trained on"
        clip = np.stack(list(read_frames(paths[name], set(range(frames)))))
        left, top = face_window(clip, yunet)
        crop = [x[:, top : top + SIDE, left : left + SIDE] for x in (clip, degrade(clip, softening))]
        found.append(Subject(name, crop[0], crop[1], original_flows(crop[0])))
    return found


def psnr(clip: Clip, original: Clip) -> float:
    """In dB over all frames."""
    return float(-10 * np.log10(((clip / 255.0 - original / 255.0) ** 2).mean()))


def warped_error(clip: Clip, flows: list[tuple[Flow, NDArray[np.bool_]]]) -> float:
    """Mean squared difference in levels between each frame and its warped predecessor."""
    squares = [
        ((now - warp(before, flow))[valid] ** 2).mean()
        for before, now, (flow, valid) in zip(clip, clip[1:], flows, strict=False)
    ]
    return float(np.mean(squares))


@torch.inference_mode()
def restore(network: RestorationUNet, codec: ResidualCodec, soft: Clip, way: Way) -> Clip:
    """The clip through the network."""
    crops = soft.astype(np.float32) / 255
    condition = codec.condition(crops)

    def denoise(x: torch.Tensor, sigma: float, /) -> torch.Tensor:
        return way.cfg * network(x, torch.tensor(sigma), condition, len(x), motion=way.motion)

    request = SamplingRequest(sampler=way.sampler, scheduler=way.scheduler, steps=way.steps, denoise=way.denoise)
    latents = sample(denoise, codec.encode(crops), NoiseTable.stable_diffusion(), request)
    return np.rint(codec.decode(latents, crops) * 255).astype(np.uint8)


def figures(subject: Subject, output: Clip) -> dict[str, float]:
    """What is measured of one output."""
    return {
        "psnr_input": psnr(subject.soft, subject.original),
        "psnr": psnr(output, subject.original),
        "gain": psnr(output, subject.original) - psnr(subject.soft, subject.original),
        "warped": warped_error(output, subject.flows),
        "warped_input": warped_error(subject.soft, subject.flows),
        "warped_original": warped_error(subject.original, subject.flows),
    }


def table(rows: dict[str, dict[str, float]], title: str) -> str:
    """A Markdown table, the mean last."""
    keys = ("psnr_input", "psnr", "gain", "warped_original", "warped_input", "warped")
    mean = {key: float(np.mean([row[key] for row in rows.values()])) for key in keys}
    lines = [f"### {title}", "", "| clip | " + " | ".join(keys) + " |", "|---" * (len(keys) + 1) + "|"]
    lines += [
        f"| {name} | " + " | ".join(f"{row[key]:+.2f}" if key == "gain" else f"{row[key]:.2f}" for key in keys) + " |"
        for name, row in {**rows, "mean": mean}.items()
    ]
    return "\n".join(lines) + "\n"


def summary(results: dict[str, dict[str, dict[str, dict[str, float]]]]) -> str:
    """Means and worst cases of every way and softening, as a Markdown table."""
    lines = ["| softening | way | gain dB | worst clip | warped / input's | warped / original's |", "|---" * 6 + "|"]
    for softening, ways in results.items():
        for way, rows in ways.items():
            column = {key: np.array([row[key] for row in rows.values()]) for key in next(iter(rows.values()))}
            lines.append(
                f"| {softening} | {way} | {column['gain'].mean():+.2f} | {column['gain'].min():+.2f} "
                f"| {column['warped'].mean() / column['warped_input'].mean():.2f} "
                f"| {column['warped'].mean() / column['warped_original'].mean():.2f} |"
            )
    return "\n".join(lines) + "\n"


def grid(full: bool) -> list[Way]:
    """The ways that are compared: the card's defaults first, then the same frame by frame."""
    ways = [Way(cfg=1.25), Way(cfg=1.25, motion=False), Way(cfg=1.5), Way()]
    if full:
        ways += [Way(cfg=2.0), Way(steps=2), Way(steps=2, cfg=1.5), Way(steps=2, scheduler="karras")]
        ways += [Way(steps=5), Way(steps=2, sampler="lcm"), Way(denoise=0.5), Way(steps=2, denoise=0.5)]
    return ways


def write_sheet(path: Path, crops: list[Subject], together: list[Clip], alone: list[Clip]) -> None:
    """The middle frame of every clip: input, output, output frame by frame, original; two clips a row."""
    rows = [
        np.concatenate([clip[len(clip) // 2] for clip in (crop.soft, out, single, crop.original)], axis=1)
        for crop, out, single in zip(crops, together, alone, strict=True)
    ]
    half = (len(rows) + 1) // 2
    rows += [np.zeros_like(rows[0])] * (2 * half - len(rows))
    picture = np.concatenate([np.concatenate(rows[:half]), np.concatenate(rows[half:])], axis=1)
    cv2.imwrite(str(path), picture[..., ::-1])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--yunet", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--media", type=Path, nargs="*", default=[])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--full", action="store_true", help="compare samplers, steps and denoise too")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    network, codec, _ = load(options.model)
    results: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    tables = []
    for softening, how in SOFTENINGS.items():
        crops = subjects(options.media, options.frames, how, options.yunet)
        outputs: dict[Way, list[Clip]] = {}
        for way in grid(options.full):
            outputs[way] = [restore(network, codec, crop.soft, way) for crop in crops]
            rows = {crop.name: figures(crop, out) for crop, out in zip(crops, outputs[way], strict=True)}
            results.setdefault(softening, {})[str(way)] = rows
            tables.append(table(rows, f"{softening}: {way}"))
        together, alone = list(outputs.values())[:2]
        write_sheet(options.output / f"{softening}.png", crops, together, alone)
        log.info("%s", summary({softening: results[softening]}))
    (options.output / "results.json").write_text(json.dumps(results, indent=1))
    (options.output / "table.md").write_text(summary(results) + "\n" + "\n".join(tables))


if __name__ == "__main__":
    main()
