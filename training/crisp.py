"""Train the inventive end of the restoration model: `python training/crisp.py --data DATA --output RUN --start MODEL`.

A mean square error makes uncertain areas soft. This script trains the second network of a shipped model further, on
what a person sees instead: fine structure in the right amount and place, without flicker along the motion. See
`crispness.py` for the losses and `adversary.py` for the discriminator, which ``--adversary`` turns on.

The weights stay on one line with those they started from, so that a mixture of the two is a network as well (Wang et
al. 2018, "ESRGAN", arXiv:1809.00219): that is what `denoise` dials. Options and files are those of train.py.
"""

from __future__ import annotations

import logging
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
import train as base
from adversary import Adversary
from crispness import Features, amount, colour, high_correlation, overshoot, picture_losses
from data import WORKING, Batch
from losses import STILL, clip_flows, flow_change, restoration_loss
from noise import SIGMA_MAX, draw_sigmas, noisy_input
from torch import Tensor
from torch.nn import functional

from redetail.engines.restoration import load
from redetail.imaging.weights import resampling

log = logging.getLogger("crisp")

WEIGHTS = {
    "error": 0.5,
    "energy": 5.0,
    "amplitude": 2.0,
    "structure": 1.2,
    "high": 0.7,
    "features": 0.5,
    "overshoot": 4.0,
    "colour": 20.0,
    "flicker": 2.0,
}
CALM = 0.85  # of the input's flicker; less than that is not required
GUIDANCE = 1.15  # what the corrections are scaled by where they are judged
LOWER = 0.1  # share of the clips seen at a lower noise level than that of a single step
LOGGED, WATCHED = 20, 100  # steps
HELD_OUT = (96, 16, 3)  # pixels, clips and frames of what is watched
WATCHED_AT = 1.3  # times the crops' own size: the card's working size
AXES = (".first.1.weight", ".second.1.weight", "narrow.weight", "narrow_drafts.weight")
"""Weights that both ends of the dial share where they are factored (compress.py): their mixtures stay exact."""


class CrispRun(base.Run):
    """A run whose losses measure what a person sees."""

    def __init__(self, options: Namespace, rank: int = 0) -> None:
        super().__init__(options, rank)
        if options.go_on and not self.step:
            self.go_on(options.start)
        for name, weight in self.network.named_parameters():
            weight.requires_grad_(not name.endswith(AXES))
        self.features = Features(self.device)
        self.adversary = Adversary(self.features, options.rate, self.device) if options.adversary else None
        path = self.folder / "adversary.pt"
        if self.adversary and path.exists():
            self.adversary.load_state(torch.load(path, map_location="cpu", weights_only=True))

    def go_on(self, start: Path) -> None:
        """Begin with the inventive end of a model."""
        inventive = load(start).inventive
        assert inventive is not None, f"{start} has no inventive end"
        for network in (self.network, self.average):
            network.load_state_dict(inventive.state_dict())

    def save(self) -> None:
        """The checkpoint of the run and of its discriminator."""
        super().save()
        if self.adversary:
            part = self.folder / "adversary.part"
            torch.save(self.adversary.state(), part)
            part.replace(self.folder / "adversary.pt")

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One step of the network and, if there is one, of its discriminator; returns what to log."""
        batch = self.on_device(batch)
        target = self.latents(batch)
        clips, frames = len(batch.stages), batch.stages.shape[2]
        predicted = self.predict(batch, target, clips, frames)
        output, soft, clean = self.at_own_size(batch, predicted)
        flows = flows_of(clean) if frames > 1 else None
        own, there = output.flatten(0, 1), clean.flatten(0, 1)
        seen = self.features.of(own)
        with torch.no_grad():
            wanted = self.features.of(there)
        losses = {
            "error": restoration_loss(GUIDANCE * predicted, target, clips)["error"],
            **picture_losses(own, there),
            "high": 1 - high_correlation(own, there),
            "features": self.features.distance(seen, wanted),
            "flicker": functional.relu(flickers(output, soft, flows) - CALM).mean() if flows else output.new_zeros(()),
        }
        total = sum((weight * losses[key] for key, weight in WEIGHTS.items()), output.new_zeros(()))
        if self.adversary:
            losses["adversary"] = self.adversary.loss(soft, clean, output, flows, seen, wanted)
            share = min(1.0, self.step / 200)  # it learns before it counts
            total = total + self.options.adversary * share * losses["adversary"]
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        if self.adversary:
            losses["judge"] = self.adversary.learn(soft, clean, output.detach(), flows, seen, wanted)
        self.step += 1
        self.update_average()
        return {**{key: loss.item() for key, loss in losses.items()}, "norm": norm.item()}

    def predict(self, batch: Batch, target: Tensor, clips: int, frames: int) -> Tensor:
        """Residual latents of each task, nearly always in one step from the highest level, as in use."""
        lower = torch.rand(clips, generator=self.generator) < LOWER
        sigma = torch.where(lower, draw_sigmas(clips, self.generator), torch.full((clips,), SIGMA_MAX))
        noisy = noisy_input(target.sum(dim=1), sigma, frames, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bf16):
            seen = base.features_of(self.network, batch)
            predicted: Tensor = self.components(noisy, sigma.to(self.device), seen, frames)
        return predicted

    def pixels(self, predicted: Tensor, soft: Tensor) -> Tensor:
        """Residuals of all tasks (B*F, T, C, h, w) as pixels of the shape of ``soft``."""
        whole = predicted.float().sum(dim=1) * self.config.residual_std
        return functional.pixel_shuffle(whole, self.config.unshuffle).unflatten(0, soft.shape[:2])

    def at_own_size(self, batch: Batch, predicted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Output, input and original (B, F, 3, h, w) in -1..1 at the crops' own size, where they are looked at."""
        soft, clean = (batch.stages[:, n].movedim(-1, 2).float() / 127.5 - 1 for n in (0, 3))
        change = GUIDANCE * self.pixels(predicted, soft)
        scale = 1.0 if batch.working is None else float(batch.working)
        given, there = reduced(soft, scale), reduced(clean, scale)
        return given + reduced(change, scale), given, there

    @torch.no_grad()
    def judged(self, batches: dict[str, Batch]) -> dict[str, Any]:
        """For each held-out batch: gain in dB, detail over the original's, correlation of fine detail, flicker."""
        figures: dict[str, Any] = {}
        for name, batch in batches.items():
            batch = self.on_device(batch)
            target = self.latents(batch).sum(dim=1)
            noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(1)).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bf16):
                seen, sigma = base.features_of(self.average, batch), torch.tensor(SIGMA_MAX, device=self.device)
                parts = self.average.components(noise * SIGMA_MAX, sigma, seen, batch.stages.shape[2])
            output, soft, clean = self.at_own_size(batch, parts)
            output = output.clamp(-1, 1)
            gains = base.clip_gains(GUIDANCE * parts.float().sum(dim=1), target, len(batch.stages))
            own, there = output.flatten(0, 1), clean.flatten(0, 1)
            flows = flows_of(clean)
            row = {
                "gain": sum(gains) / len(gains),
                "worst": min(gains),
                "detail": float(amount(own) / amount(there)),
                "high": float(high_correlation(own, there)),
                "beyond": float(overshoot(own, there)) * 127.5,
                "colour": float(colour(own, there)) * 127.5,
                "flicker": float(flickers(output, soft, flows).mean()),
            }
            figures[name] = {key: round(value, 3) for key, value in row.items()}
        return figures


def reduced(clips: Tensor, scale: float) -> Tensor:
    """(B, F, 3, h, w) at 1/``scale`` of its size, as the pipeline brings a change back to its frame."""
    if scale == 1:
        return clips
    down, across = (
        torch.from_numpy(resampling(0.0, scale, int(side / scale), side).dense()).to(clips) for side in clips.shape[-2:]
    )
    return down @ clips @ across.T


def flows_of(clean: Tensor) -> tuple[Tensor, Tensor]:
    """`clip_flows` of originals (B, F, 3, h, w) in -1..1, on their device."""
    levels = ((clean.clamp(-1, 1) + 1) * 127.5).round().byte().movedim(2, -1).cpu().contiguous()
    grid, valid = clip_flows(levels)
    return grid.to(clean.device), valid.to(clean.device)


def flickers(output: Tensor, soft: Tensor, flows: tuple[Tensor, ...]) -> Tensor:
    """Mean squared change of each clip along the flow over that of the input. (B, F, 3, h, w) in -1..1 -> (B,)."""
    grid, valid = flows
    own, given = (flow_change(clip, grid, valid) for clip in (output, soft))
    return own / (given + STILL)


def main() -> None:
    """Train until the time is up."""
    parser = base.parser(__doc__)
    parser.add_argument("--adversary", type=float, default=0.0, help="weight of a discriminator; 0: none")
    parser.add_argument("--go-on", action="store_true", help="begin with the inventive end of the start")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    run = CrispRun(options)
    drafts = base.Drafter(run.draft, options.bf16) if run.draft else None
    held_out = base.watched(options.data, run.config.reach, drafts, HELD_OUT, first=6, working=WATCHED_AT)
    if not run.step:
        run.write(run.judged(held_out))
    loader = base.batches(options, run.step, 0, run.config.reach, drafts, WORKING)
    sums: dict[str, float] = {}
    while run.seconds < 60 * options.minutes:
        start = time.monotonic()
        for key, value in run.train_step(next(loader)).items():
            sums[key] = sums.get(key, 0.0) + value / LOGGED
        if run.step % LOGGED == 0:
            run.write({key: round(value, 5) for key, value in sums.items()})
            sums = {}
        run.seconds += time.monotonic() - start
        if run.step % WATCHED == 0:
            run.write(run.judged(held_out))
            run.validate(held_out)
            run.save()
    run.write(run.judged(held_out))
    run.save()


if __name__ == "__main__":
    main()
