"""An engine on other machines: it reports what the first worker says about its engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from redetail.engines.base import Capabilities, ChecksSettings, CropSource, Engine, Pixels, Request, noise_level
from redetail.settings import Settings

Ask = Callable[..., Any]
"""(function, *arguments) -> what the function returns, given the worker's engine and the arguments."""


class RemoteEngine:
    """The engine of a worker, asked through ``ask``; it is loaded once this is made."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        told: Capabilities = ask(_capabilities)
        # The time of one worker does not show how long several workers take.
        self._capabilities = replace(told, cost=replace(told.cost, even=False))

    @property
    def capabilities(self) -> Capabilities:
        """What the worker's engine can do."""
        return self._capabilities

    def check(self, settings: Settings) -> None:
        """Raise what the worker's engine would raise for these settings."""
        self._ask(_check, settings)

    def noise_level(self, settings: Settings) -> float | None:
        """What the worker's engine says about these settings."""
        level: float | None = self._ask(noise_level, settings)
        return level

    def run(self, request: Request) -> None:
        """Enhance crops on a worker, with all of them in memory at once and without progress."""
        hints = {name: source.all() for name, source in request.hints.items()}
        masks = request.masks(0, request.crops.frames)
        bare = {"settings": request.settings, "shared_mask": request.shared_mask}
        bare |= {"first_frame": request.first_frame, "total_frames": request.total_frames}
        if request.cancel is not None:
            request.cancel.check()
        request.write(0, self._ask(_run, request.crops.all(), masks, hints, bare))


def _capabilities(engine: Engine) -> Capabilities:
    return engine.capabilities


def _check(engine: Engine, settings: Settings) -> None:
    if isinstance(engine, ChecksSettings):
        engine.check(settings)


def _run(engine: Engine, crops: Pixels, masks: Pixels, hints: dict[str, Pixels], bare: dict[str, Any]) -> Pixels:
    result = np.empty(crops.shape, np.float32)

    def write(start: int, pixels: Pixels) -> None:
        result[start : start + len(pixels)] = pixels

    engine.run(
        Request(
            crops=CropSource.of(crops),
            mask=lambda start, stop: masks[start:stop],
            write=write,
            hints={name: CropSource.of(pixels) for name, pixels in hints.items()},
            **bare,
        )
    )
    return result
