"""``FakeEngine``: an engine without a network, whose result is a formula that tests can check."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from redetail.engines.base import Capabilities, Pixels
from redetail.engines.checks import check_hints, check_request, context_windows_for
from redetail.engines.meter import Meter
from redetail.progress import CancelToken, ProgressCallback, no_progress
from redetail.sampling import initial_noise, sampler_names, scheduler_names
from redetail.settings import Settings

Effect = Callable[[Pixels], Pixels]


def invert(crops: Pixels) -> Pixels:
    """The negative: what was dark is bright."""
    return 1 - crops


class FakeEngine:
    """Deterministic and quick, with all duties of an engine: crop + mask * denoise * (effect + noise * n - crop).

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

    def enhance(
        self,
        crops: Pixels,
        mask: Pixels,
        settings: Settings,
        *,
        first_frame: int = 0,
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
        hints: Mapping[str, Pixels] | None = None,
    ) -> Pixels:
        """The formula above; see :meth:`redetail.engines.base.Engine.enhance`; hints change nothing."""
        check_hints(hints or {}, crops.shape)
        check_request(crops, mask, settings, self._capabilities)
        calls = settings.steps * len(context_windows_for(len(crops), settings, self._capabilities.context_length))
        meter = Meter(progress, cancel, calls)
        for _ in range(calls):
            meter.tick()
        result = np.array(crops, np.float32)
        if mask.any():
            change = self._effect(result) + self._noise * pixel_noise(crops.shape, settings.seed, first_frame) - result
            result = np.clip(result + mask[..., None] * np.float32(settings.denoise) * change, 0, 1)
        meter.finish()
        return result.astype(np.float32, copy=False)


def pixel_noise(shape: tuple[int, ...], seed: int, first_frame: int) -> Pixels:
    """Noise of frames first_frame .. first_frame + F of a segment, (F, h, w, 3) float32, standard normal."""
    frames, height, width, channels = shape
    noise = initial_noise((frames, channels, height, width), seed, first_frame=first_frame)
    result: Pixels = noise.movedim(1, -1).numpy()
    return result
