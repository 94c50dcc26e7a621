"""Verdicts: what the figures of a clip mean, in words, and how several clips rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from redetail.evaluate.subjects import SubjectFigures

# Ratios and levels from which a difference counts; docs/evaluate.md names the clips that they were chosen on.
SHARPER = 1.06
CALM = 1.5
NOISIER = 0.75
COLOUR = 1.5
SEAM = 2.0
BLOCKY = 0.1
HALO = 1.5
DECIBEL = 0.2


@dataclass(frozen=True, slots=True)
class Verdict:
    """``better``: 1 if better than the source, 0 if no difference counts, -1 if worse; ``reasons``: short phrases."""

    better: int
    reasons: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        word = {1: "Better", 0: "No gain", -1: "Worse"}[self.better]
        return f"{word}: {', '.join(self.reasons)}." if self.reasons else f"{word}: the result looks like the source."


def judge(source: SubjectFigures, result: SubjectFigures) -> Verdict:
    """The verdict on a result, from its figures and those of the source for the same subject."""
    gains, doubts = _gains(source, result), _doubts(source, result)
    losses = _losses(source, result)
    # A gain outweighs one doubt, but not two.
    better = -1 if losses or len(doubts) > 1 else 1 if gains else -1 if doubts else 0
    return Verdict(better, (*losses, *gains, *doubts))


def score(source: SubjectFigures, result: SubjectFigures) -> float:
    """A number by which results are ordered; higher is better, and the source itself has 0.

    With an original, the gain over the source in decibels. Without one, the gain in sharpness (natural logarithm),
    minus penalties for flicker, noise, blocks, halos, seams and shifted colours beyond what the eye tolerates.
    """
    if result.psnr is not None and source.psnr is not None:
        return _decibels(result.psnr) - _decibels(source.psnr)
    gain = math.log(max(result.sharpness, 1e-3) / max(source.sharpness, 1e-3))
    calm = result.flicker_per_detail or result.flicker_ratio or 1.0
    lost = (
        max(0.0, math.log(max(calm, 1e-3) / CALM))
        + 0.3 * max(0.0, result.noise - source.noise - NOISIER)
        + 2.0 * max(0.0, result.blockiness - source.blockiness - BLOCKY)
        + 0.3 * max(0.0, math.log(max(_halo(result), 1e-3) / max(HALO * _halo(source), 1e-3)))
        + 0.1 * max(0.0, (result.seam or 0.0) - SEAM)
        + 0.1 * max(0.0, _shift(result) - COLOUR)
    )
    return gain - lost


def _gains(source: SubjectFigures, result: SubjectFigures) -> list[str]:
    gains = []
    sharper = _ratio(result.sharpness, source.sharpness)
    if result.psnr is not None and source.psnr is not None and result.psnr - source.psnr > DECIBEL:
        gains.append(f"{result.psnr - source.psnr:.1f} dB closer to the original")
    if sharper > SHARPER:
        gains.append(f"{sharper - 1:.0%} sharper")
    calm = result.flicker_per_detail
    if calm is not None and calm < 0.9 and sharper > 1:
        gains.append("less flicker relative to sharpness than in the source")
    return gains


def _losses(source: SubjectFigures, result: SubjectFigures) -> list[str]:
    losses = []
    if result.psnr is not None and source.psnr is not None and result.psnr - source.psnr < -DECIBEL:
        losses.append(f"{source.psnr - result.psnr:.1f} dB further from the original")
    sharper = _ratio(result.sharpness, source.sharpness)
    if sharper < 1 / SHARPER:
        losses.append(f"{1 - sharper:.0%} softer")
    return losses


def _doubts(source: SubjectFigures, result: SubjectFigures) -> list[str]:
    doubts = []
    calm = result.flicker_per_detail
    if calm is not None and calm > CALM:
        doubts.append(f"{calm:.1f} times as much flicker relative to sharpness as in the source")
    if result.noise - source.noise > NOISIER:
        doubts.append(f"noise of {result.noise:.1f} levels ({source.noise:.1f} in the source)")
    if result.blockiness - source.blockiness > BLOCKY:
        doubts.append("visible compression blocks")
    if _halo(result) > HALO * _halo(source) and result.overshoot > 1:
        doubts.append("halos along edges")
    if result.seam is not None and result.seam > SEAM:
        doubts.append(f"a seam of {result.seam:.1f} levels around the pasted area")
    if _shift(result) > COLOUR:
        doubts.append(f"colours shifted by {_shift(result):.1f} levels")
    return doubts


def order(source: SubjectFigures, results: Sequence[SubjectFigures]) -> list[int]:
    """Indices of the results, best first."""
    return sorted(range(len(results)), key=lambda number: -score(source, results[number]))


def _halo(figures: SubjectFigures) -> float:
    """Overshoot relative to sharpness, since crisp detail overshoots too."""
    return _ratio(figures.overshoot, figures.sharpness)


def _shift(figures: SubjectFigures) -> float:
    return max(map(abs, figures.colour))


def _ratio(value: float, base: float) -> float:
    return value / base if base > 0 else 1.0


def _decibels(value: float) -> float:
    return min(value, 100.0)  # equal pictures
