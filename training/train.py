"""Train the restoration model: `python training/train.py --data DATA --output RUN --minutes 120`.

Resumable (the newest checkpoint of RUN is continued), seeded, exponential moving average of the weights. The
learning rate follows the share of the time that has passed, so a run ends on time on a shared machine.
Writes RUN/log.jsonl, RUN/checkpoint.pt and RUN/sheet_*.png (rows: input, output, original).
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import logging
import math
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data import Samples

from redetail.engines.restoration.network import NetworkConfig, RestorationUNet, cell_basis

log = logging.getLogger("train")

SIGMA_MAX = 14.6146  # of Stable Diffusion's table
# (share, lowest, highest): few-step sampling evaluates the high and middle noise levels.
SIGMA_BANDS = ((0.60, 5.0, SIGMA_MAX), (0.30, 0.6, 5.0), (0.10, 0.03, 0.6))
TEMPORAL_WEIGHT = 0.3
FLOOR = 0.02  # added to a clip's mean square before its error is divided by it: nearly clean clips do not rule


def unshuffle(clip: Tensor, config: NetworkConfig) -> Tensor:
    """(B, F, h, w, 3) in -1..1 -> (B*F, 3*u*u, h/u, w/u)."""
    frames = clip.flatten(0, 1).permute(0, 3, 1, 2)
    return torch.nn.functional.pixel_unshuffle(frames, config.unshuffle)


def draw_sigmas(count: int, generator: torch.Generator) -> Tensor:
    """(count,) noise levels, log-uniform inside a band drawn from SIGMA_BANDS; a third of the top band is its end."""
    shares = torch.tensor([band[0] for band in SIGMA_BANDS])
    picks = torch.multinomial(shares, count, replacement=True, generator=generator)
    low = torch.tensor([band[1] for band in SIGMA_BANDS])[picks].log()
    high = torch.tensor([band[2] for band in SIGMA_BANDS])[picks].log()
    sigma = (low + (high - low) * torch.rand(count, generator=generator)).exp()
    at_end = (picks == 0) & (torch.rand(count, generator=generator) < 0.33)
    return torch.where(at_end, torch.full_like(sigma, SIGMA_MAX), sigma)


def noisy_input(clean: Tensor, sigma: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """clean (B*F, C, h, w) plus noise.

    A quarter of the clips start from no residual at all, as a denoise < 1 does, and a quarter from a weakened one, as
    the network's own earlier steps give.
    """
    kind = torch.rand(len(sigma), generator=generator)
    keep = torch.rand(len(sigma), generator=generator)
    keep = torch.where(kind < 0.25, torch.zeros_like(keep), torch.where(kind < 0.5, keep, torch.ones_like(keep)))
    rows = [value.repeat_interleave(frames)[:, None, None, None].to(clean.device) for value in (keep, sigma)]
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    return clean * rows[0] + rows[1] * noise


def restoration_loss(predicted: Tensor, clean: Tensor, clips: int) -> tuple[Tensor, Tensor]:
    """(error, change) of residual latents (B*F, C, h, w): what share of the mean square is left unexplained.

    ``error`` is that of the residuals, ``change`` that of their differences from frame to frame. Each clip counts
    relative to itself, as the gain in decibels does.
    """
    predicted, clean = (x.float().unflatten(0, (clips, -1)) for x in (predicted, clean))
    total = clean.square().mean(dim=(1, 2, 3, 4)) + FLOOR
    error = (predicted - clean).square().mean(dim=(1, 2, 3, 4)) / total
    if predicted.shape[1] == 1:
        return error.mean(), error.new_zeros(())
    change = (predicted.diff(dim=1) - clean.diff(dim=1)).square().mean(dim=(1, 2, 3, 4)) / total
    return error.mean(), change.mean()


class Run:
    """Everything a training run carries from step to step."""

    def __init__(self, options: argparse.Namespace, rank: int = 0) -> None:
        self.options, self.rank = options, rank
        self.device = torch.device(
            options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        )
        torch.manual_seed(options.seed)
        self.folder: Path = options.output
        self.folder.mkdir(parents=True, exist_ok=True)
        saved = self.saved()
        config = saved["config"] if saved else measured_config(options.data, options.seed).to_json()
        self.config = NetworkConfig.from_json(self.told_by_first(config))
        self.network = RestorationUNet(self.config).to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=options.rate, betas=(0.9, 0.99), weight_decay=1e-4
        )
        self.step, self.seconds = 0, 0.0
        if saved:
            self.network.load_state_dict(saved["network"])
            self.average.load_state_dict(saved["average"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step, self.seconds = saved["step"], saved["seconds"]
        self.generator = torch.Generator().manual_seed(options.seed + 1_000_003 * rank + self.step)
        self.forward = torch.compile(self.network, dynamic=False) if options.compile else self.network

    def saved(self) -> dict[str, Any] | None:
        """The newest checkpoint, if there is one."""
        path = self.folder / "checkpoint.pt"
        return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None

    def told_by_first(self, text: str) -> str:
        """The text of the first process, in all of them."""
        told = [text]
        if self.options.processes > 1:
            distributed.broadcast_object_list(told)
        return told[0]

    def save(self) -> None:
        """Write the checkpoint beside and rename it."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "config": self.config.to_json(),
        }
        part = self.folder / "checkpoint.part"
        torch.save(state, part)
        part.replace(self.folder / "checkpoint.pt")

    def rate(self) -> float:
        """Learning rate: warm-up over 200 steps, then a cosine over the share of the time that has passed."""
        share = min(1.0, self.seconds / (60 * self.options.minutes))
        cosine = 0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * share))
        return float(self.options.rate * min(1.0, (self.step + 1) / 200) * cosine)

    def latents(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """uint8 (degraded, clean) -> (clean residual latents, condition), each (B*F, C, h, w)."""
        soft, clean = (x.to(self.device).float() / 127.5 - 1 for x in batch)
        return (unshuffle(clean - soft, self.config) / self.config.residual_std, unshuffle(soft, self.config))

    def train_step(self, batch: tuple[Tensor, Tensor]) -> dict[str, float]:
        """One optimiser step; returns what to log."""
        target, condition = self.latents(batch)
        clips, frames = batch[0].shape[:2]
        sigma = draw_sigmas(clips, self.generator)
        noisy = noisy_input(target, sigma, frames, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bf16):
            predicted = self.forward(noisy, sigma.to(self.device), condition, frames)
        error, change = restoration_loss(predicted, target, clips)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.zero_grad(set_to_none=True)
        (error + TEMPORAL_WEIGHT * change).backward()
        self.share_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.update_average()
        return {"error": error.item(), "change": change.item(), "norm": norm.item()}

    def share_gradients(self) -> None:
        """Average the gradients over all processes, and take the clock of the first."""
        if self.options.processes == 1:
            return
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        clock = torch.tensor([self.seconds if self.rank == 0 else 0.0], device=self.device)
        flat = torch.cat([clock, *(gradient.flatten() for gradient in gradients)])
        distributed.all_reduce(flat)
        self.seconds = float(flat[0])
        parts = (flat[1:] / self.options.processes).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    @torch.no_grad()
    def update_average(self) -> None:
        """Exponential moving average of the weights, faster at the beginning."""
        decay = min(0.999, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)

    @torch.no_grad()
    def validate(self, batches: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Mean PSNR gain in dB over the degraded input, one step from pure noise and from sigma 1; writes a sheet."""
        gains: dict[str, list[float]] = {"gain_max": [], "gain_one": []}
        rows = []
        for number, batch in enumerate(batches):
            target, condition = self.latents(batch)
            generator = torch.Generator().manual_seed(number)
            for key, level in (("gain_max", SIGMA_MAX), ("gain_one", 1.0)):
                noise = torch.randn(target.shape, generator=generator).to(self.device)
                predicted = self.average(noise * level, torch.tensor(level), condition, batch[0].shape[1])
                gains[key] += clip_gains(predicted, target, len(batch[0]))
                if key == "gain_max":
                    rows.append(self.sheet_row(batch, condition, predicted))
        cv2.imwrite(str(self.folder / f"sheet_{self.step:06d}.png"), np.concatenate(rows[:6])[..., ::-1])
        return {key: float(np.mean(values)) for key, values in gains.items()}

    def sheet_row(self, batch: tuple[Tensor, Tensor], condition: Tensor, predicted: Tensor) -> np.ndarray:
        """Input, output, original of the middle frame of every clip of a batch, side by side, uint8 RGB."""
        frames = batch[0].shape[1]
        pixels = torch.nn.functional.pixel_shuffle(
            condition + predicted * self.config.residual_std, self.config.unshuffle
        )
        output = ((pixels + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).unflatten(0, (-1, frames))
        middle = frames // 2
        return np.concatenate(
            [
                x[middle].numpy()
                for soft, out, clean in zip(batch[0], output.cpu(), batch[1], strict=True)
                for x in (soft, out, clean)
            ],
            axis=1,
        )

    def write(self, row: dict[str, float]) -> None:
        """Append one line to the log."""
        row = {"step": self.step, "minutes": round(self.seconds / 60, 2), "rate": self.rate(), **row}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        log.info("%s", row)


def clip_gains(predicted: Tensor, target: Tensor, clips: int) -> list[float]:
    """PSNR gain in dB of every clip over leaving the crop alone; clips that hardly differ are left out."""
    error = ((predicted - target) ** 2).unflatten(0, (clips, -1)).mean(dim=(1, 2, 3, 4))
    nothing = (target**2).unflatten(0, (clips, -1)).mean(dim=(1, 2, 3, 4))
    return [float(10 * torch.log10(b / a)) for a, b in zip(error, nothing, strict=True) if b > 0.02]


def measured_config(data: Path, seed: int) -> NetworkConfig:
    """A configuration with the standard deviations of residual and condition over 60 batches."""
    plain, basis = NetworkConfig(), cell_basis(NetworkConfig().unshuffle)
    squares = torch.zeros(2, plain.latent_channels)
    for soft, clean in islice(Samples(data, seed + 1), 60):
        soft, clean = soft.float() / 127.5 - 1, clean.float() / 127.5 - 1
        for row, pixels in enumerate((clean - soft, soft)):
            squares[row] += (torch.einsum("nchw,dc->dnhw", unshuffle(pixels, plain), basis) ** 2).mean(
                dim=(1, 2, 3)
            ) / 60
    std = round(float(squares[0].mean().sqrt()), 4)
    scales = [tuple(round(float(x), 5) for x in row) for row in (squares[0].sqrt() / std, squares[1].sqrt())]
    return dataclasses.replace(plain, residual_std=std, latent_scale=scales[0], condition_scale=scales[1])


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=120, help="training time in all, over all resumes")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument(
        "--sizes", default="96x4x8,128x2x8,96x8x4", help="pixels x clips x frames of a batch, drawn evenly"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="processes that make data; 0: each trainer its own")
    parser.add_argument("--processes", type=int, default=1, help="trainers that share gradients; sizes are for each")
    parser.add_argument("--port", type=int, default=29541, help="where the trainers meet on this machine")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


def batches(options: argparse.Namespace, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless training batches of one process."""
    sizes = tuple((int(a), int(b), int(c)) for a, b, c in (item.split("x") for item in options.sizes.split(",")))
    samples = Samples(options.data, seed, sizes)
    if not options.workers:
        return iter(samples)
    return iter(DataLoader(samples, batch_size=None, num_workers=options.workers, prefetch_factor=8))


def train(rank: int, options: argparse.Namespace) -> None:
    """One process of a run, until the time is over; the first one writes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    if options.processes > 1:
        address = f"tcp://127.0.0.1:{options.port}"
        distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=options.processes)
    run = Run(options, rank)
    held_out = list(islice(Samples(options.data, 77, validation=True), 12)) if rank == 0 else []
    loader = batches(options, options.seed + run.step + 7919 * rank)
    count = sum(p.numel() for p in run.network.parameters())
    log.info("residual_std %.4f, %d parameters", run.config.residual_std, count)
    sums: dict[str, float] = {}
    while run.seconds < 60 * options.minutes:
        start = time.monotonic()
        for key, value in run.train_step(next(loader)).items():
            sums[key] = sums.get(key, 0.0) + value / 50
        if rank == 0 and run.step % 50 == 0:
            run.write({key: round(value, 5) for key, value in sums.items()})
            sums = {}
        if rank == 0 and run.step % 500 == 0:
            run.write(run.validate(held_out))
            run.save()
        run.seconds += time.monotonic() - start
    if rank == 0:
        run.write(run.validate(held_out))
        run.save()


def main() -> None:
    """Train in one process or several."""
    options = parse()
    if options.processes == 1:
        train(0, options)
    else:
        torch.multiprocessing.spawn(train, (options,), options.processes)


if __name__ == "__main__":
    main()
