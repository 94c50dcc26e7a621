"""Train the restoration model: `python training/train.py --data DATA --output RUN --minutes 120`.

Resumable (the newest checkpoint of RUN is continued; a new run starts from exported weights with ``--start FOLDER``),
seeded, exponential moving average of the weights. The learning rate follows the share of the time that has passed, so
a run ends on time on a shared machine.
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
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data import Batch, Drafts, Samples
from degrade import Degradation
from inputs import Drafter, features_of, measured_config, unshuffle
from losses import clip_flows, restoration_loss, warped_loss
from noise import SIGMA_MAX, draw_sigmas, noisy_input

from redetail.engines.restoration import Loaded, NetworkConfig, RestorationUNet, load

log = logging.getLogger("train")

WEIGHTS = {"change": 0.25, "tasks": 0.15, "flicker": 0.05}  # of the losses in addition to the error itself
WATCHED = {  # what the held-out files are softened with
    "half": Degradation(factor=2.0, codec="h264", quality=30),
    "third": Degradation(factor=3.4, codec="jpeg", quality=75),
    "half_plain": Degradation(factor=2.0),
    "whole": Degradation(codec="h264", quality=24),
}


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
        start = load(options.start) if options.start and not saved else None
        if saved:
            config = saved["config"]
        elif start:
            drafted = options.second or start.draft is not None
            config = dataclasses.replace(start.network.config, drafted=drafted).to_json()
        else:
            config = measured_config(options.data, options.seed).to_json()
        self.config = NetworkConfig.from_json(self.shared(config))
        self.network, self.draft = RestorationUNet(self.config), self.drafting(start, saved)
        if start:  # a second network starts as a copy of the first, and learns to read drafts
            self.network.load_state_dict(start.network.state_dict(), strict=not options.second)
        self.network.to(self.device, memory_format=torch.channels_last)
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
        components = self.network.components
        self.components = torch.compile(components, dynamic=False) if options.compile else components

    def drafting(self, start: Loaded | None, saved: dict[str, Any] | None) -> RestorationUNet | None:
        """The network that makes drafts, which is no longer trained; None: there is none."""
        if start:
            return start.network if self.options.second else start.draft
        if not saved or saved["draft"] is None:
            return None
        network = RestorationUNet(dataclasses.replace(self.config, drafted=False)).eval().requires_grad_(False)
        network.load_state_dict(saved["draft"])
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def saved(self) -> dict[str, Any] | None:
        """The newest checkpoint, if there is one."""
        path = self.folder / "checkpoint.pt"
        return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None

    def shared(self, text: str) -> str:
        """The first process's text, in all processes."""
        texts = [text]
        if self.options.processes > 1:
            distributed.broadcast_object_list(texts)
        return texts[0]

    def save(self) -> None:
        """Write the checkpoint under another name, then rename it."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "draft": self.draft.state_dict() if self.draft else None,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "config": self.config.to_json(),
        }
        part = self.folder / "checkpoint.part"
        torch.save(state, part)
        part.replace(self.folder / "checkpoint.pt")

    def rate(self) -> float:
        """Learning rate: a warm-up, then a cosine over the share of the time that has passed."""
        share = min(1.0, self.seconds / (60 * self.options.minutes))
        cosine = 0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * share))
        return float(self.options.rate * min(1.0, (self.step + 1) / self.options.warm_up) * cosine)

    def latents(self, batch: Batch) -> Tensor:
        """Residual latents of each task (B*F, T, C, h, w).

        Sharpening leads from the soft picture to the clean one, denoising from the noisy to the soft one, deblocking
        from the coded to the noisy one.
        """
        coded, noisy, soft, clean = (batch.stages.float() / 127.5 - 1).unbind(1)
        residuals = [unshuffle(x, self.config) for x in (clean - soft, soft - noisy, noisy - coded)]
        if not self.config.tasks:
            residuals = [sum(residuals[1:], residuals[0])]
        return torch.stack(residuals, dim=1) / self.config.residual_std

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One optimiser step; returns what to log."""
        batch = self.on_device(batch)
        target = self.latents(batch)
        clips, frames = len(batch.stages), batch.stages.shape[2]
        sigma = draw_sigmas(clips, self.generator)
        noisy = noisy_input(target.sum(dim=1), sigma, frames, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bf16):
            seen = features_of(self.network, batch)
            predicted = self.components(noisy, sigma.to(self.device), seen, frames)
        losses = restoration_loss(predicted, target, clips)
        losses["flicker"] = self.flicker(predicted, batch.stages) if frames > 1 else torch.zeros(())
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.zero_grad(set_to_none=True)
        sum((weight * losses[key] for key, weight in WEIGHTS.items()), losses["error"]).backward()
        self.share_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.update_average()
        return {**{key: loss.item() for key, loss in losses.items()}, "norm": norm.item()}

    def on_device(self, batch: Batch) -> Batch:
        """The batch where the network is."""
        return Batch(*(part if part is None else part.to(self.device) for part in batch))

    def flicker(self, predicted: Tensor, stages: Tensor) -> Tensor:
        """How much more the restored clips change along the original's flow than the degraded ones."""
        soft = stages[:, 0].movedim(-1, 2).float() / 127.5 - 1
        whole = predicted.float().sum(dim=1) * self.config.residual_std
        residual = torch.nn.functional.pixel_shuffle(whole, self.config.unshuffle)
        grid, valid = clip_flows(stages[:, 3].cpu())
        flows = grid.to(self.device), valid.to(self.device)
        return warped_loss(soft + residual.unflatten(0, soft.shape[:2]), soft, flows)

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
    def validate(self, batches: dict[str, Batch]) -> dict[str, float]:
        """Mean PSNR gain in dB of each batch over its degraded input, one step from pure noise; writes a sheet."""
        gains, rows = {}, []
        for name, batch in batches.items():
            batch = self.on_device(batch)
            whole = self.latents(batch).sum(dim=1)
            noise = torch.randn(whole.shape, generator=torch.Generator().manual_seed(1)).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bf16):
                seen, sigma = features_of(self.average, batch), torch.tensor(SIGMA_MAX, device=self.device)
                predicted = self.average(noise * SIGMA_MAX, sigma, seen, batch.stages.shape[2])
            gains[name] = float(np.mean(clip_gains(predicted, whole, len(batch.stages))))
            rows.append(self.sheet_row(batch.stages, predicted))
        cv2.imwrite(str(self.folder / f"sheet_{self.step:06d}.png"), np.concatenate(rows)[..., ::-1])
        return {name: round(gain, 3) for name, gain in gains.items()}

    def sheet_row(self, stages: Tensor, predicted: Tensor) -> np.ndarray:
        """Input, output, original of the middle frame of the first clips of a batch, side by side, uint8 RGB."""
        middle = stages.shape[2] // 2
        residual = torch.nn.functional.pixel_shuffle(predicted * self.config.residual_std, self.config.unshuffle)
        residual = residual.unflatten(0, (len(stages), -1))[:4, middle].movedim(1, -1)
        given = stages[:4, 0, middle]
        output = (given.float() + residual * 127.5).round().clamp(0, 255).byte()
        shown = zip(given, output, stages[:4, 3, middle], strict=True)
        return np.concatenate([picture.cpu().numpy() for clip in shown for picture in clip], axis=1)

    def write(self, row: dict[str, Any]) -> None:
        """Append one line to the log."""
        row = {"step": self.step, "minutes": round(self.seconds / 60, 2), "rate": self.rate(), **row}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        log.info("%s", row)


def clip_gains(predicted: Tensor, target: Tensor, clips: int) -> list[float]:
    """PSNR gain in dB of every clip over leaving the crop alone."""
    error = ((predicted - target) ** 2).unflatten(0, (clips, -1)).mean(dim=(1, 2, 3, 4))
    nothing = (target**2).unflatten(0, (clips, -1)).mean(dim=(1, 2, 3, 4))
    return [float(10 * torch.log10(b / a)) for a, b in zip(error, nothing, strict=True)]


def parser(text: str | None) -> argparse.ArgumentParser:
    """The options of a run."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="model folder whose weights a new run starts from")
    parser.add_argument("--second", action="store_true", help="train a second network on the drafts of the first")
    parser.add_argument("--minutes", type=float, default=120, help="training time in all, over all resumes")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--warm-up", type=int, default=200, help="steps until the learning rate is reached")
    parser.add_argument(
        "--sizes", default="96x4x8,128x2x8,96x8x4", help="pixels x clips x frames of a batch, drawn evenly"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="processes that make data; 0: every trainer does")
    parser.add_argument("--processes", type=int, default=1, help="trainers that share gradients; sizes are for each")
    parser.add_argument("--port", type=int, default=29541, help="where the trainers meet on this machine")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--compile", action="store_true")
    return parser


def batches(
    options: argparse.Namespace,
    step: int,
    rank: int,
    reach: int,
    drafts: Drafts | None,
    working: tuple[tuple[float, float], ...] = ((1.0, 1.0),),
) -> Iterator[Batch]:
    """Endless training batches of one process, from this step on."""
    sizes = tuple((int(a), int(b), int(c)) for a, b, c in (item.split("x") for item in options.sizes.split(",")))
    seed = options.seed + step
    samples = Samples(options.data, seed + 7919 * rank, sizes, order=seed, reach=reach, drafts=drafts, working=working)
    if not options.workers:
        return iter(samples)
    return iter(DataLoader(samples, batch_size=None, num_workers=options.workers, prefetch_factor=8))


def watched(
    data: Path,
    reach: int,
    drafts: Drafts | None,
    size: tuple[int, int, int] = (128, 24, 4),
    first: int = 8,
    working: float = 1.0,
) -> dict[str, Batch]:
    """A batch of held-out clips for each monitored softening, cut from ``first`` clips, at this working size."""
    usual: dict[str, Any] = {
        "validation": True, "reach": reach, "first": first, "drafts": drafts, "working": ((1.0, working),)
    }  # fmt: skip
    return {name: next(iter(Samples(data, 77, (size,), degradation=how, **usual))) for name, how in WATCHED.items()}


def train(rank: int, options: argparse.Namespace) -> None:
    """One process of a run, until the time is up; the first one writes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    if options.processes > 1:
        address = f"tcp://127.0.0.1:{options.port}"
        distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=options.processes)
    run = Run(options, rank)
    drafts = Drafter(run.draft, options.bf16) if run.draft else None
    held_out = watched(options.data, run.config.reach, drafts) if rank == 0 else {}
    loader = batches(options, run.step, rank, run.config.reach, drafts)
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
    options = parser(__doc__).parse_args()
    if options.processes == 1:
        train(0, options)
    else:
        torch.multiprocessing.spawn(train, (options,), options.processes)


if __name__ == "__main__":
    main()
