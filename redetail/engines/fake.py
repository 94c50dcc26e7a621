"""``FakeEngine``: an engine without a network, whose result is a formula that tests can check."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from redetail.engines.base import Capabilities, Pixels, Request
from redetail.engines.checks import checked, context_windows_for
from redetail.engines.meter import Meter
from redetail.sampling import initial_noise, sampler_names, scheduler_names

Effect = Callable[[Pixels], Pixels]


def invert(crops: Pixels) -> Pixels:
    """The negative: dark becomes bright."""
    return 1 - crops


class FakeEngine:
    """A deterministic, quick engine that fulfils the whole contract: crop + mask * denoise * (effect + noise * n -
    crop).

    ``effect`` maps crops (F, h, w, 3) 0..1 to crops; n is standard normal noise that depends on seed and frame alone;
    ``noise`` is its standard deviation. One "model call" is reported for every step of every context window.
    """

    def __init__(
        self, effect: Effect = invert, *, noise: float = 0.05, size_multiple: int = 8, context_length: int | None = 16
    ) -> None:
        self._effect, self._noise = effect, noise
        self._capabilities = Capabilities(
            name="fake",
            size_multiple=size_multiple,
            context_length=context_length,
            samplers=sampler_names(),
            schedulers=scheduler_names(),
            uses_prompt=False,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do."""
        return self._capabilities

    def run(self, request: Request) -> None:
        """The formula above, for as many frames at a time as the context length; hints change nothing."""
        request = checked(request, self._capabilities)
        settings, crops = request.settings, request.crops
        windows = context_windows_for(crops.frames, settings, self._capabilities.context_length)
        meter = Meter(request.progress, request.cancel, settings.steps * len(windows))
        for _ in range(meter.total):
            meter.tick()
        noise = self._noise * pixel_noise(crops.shape, settings.seed, request.first_frame)
        for start, stop in crops.ranges(self._capabilities.context_length or crops.frames):
            request.write(start, self._changed(request, start, stop, noise[start:stop]))
        meter.finish()

    def _changed(self, request: Request, start: int, stop: int, noise: Pixels) -> Pixels:
        """Some frames of the result."""
        result, mask = np.array(request.crops.read(start, stop), np.float32), request.masks(start, stop)
        if mask.any():
            change = self._effect(result) + noise - result
            result = np.clip(result + mask[..., None] * np.float32(request.settings.denoise) * change, 0, 1)
        return result.astype(np.float32, copy=False)


def pixel_noise(shape: tuple[int, ...], seed: int, first_frame: int) -> Pixels:
    """Noise of frames first_frame .. first_frame + F of a segment, (F, h, w, 3) float32, standard normal."""
    frames, height, width, channels = shape
    noise = initial_noise((frames, channels, height, width), seed, first_frame=first_frame)
    result: Pixels = noise.movedim(1, -1).numpy()
    return result
