"""The bundled engine: the restoration network behind a :class:`~redetail.engines.latent.LatentEngine`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from redetail.engines.base import Capabilities, Cost, CropSource
from redetail.engines.checks import context_windows_for
from redetail.engines.device import Placement
from redetail.engines.latent import DenoiserFor, LatentEngine
from redetail.engines.restoration.codec import TOGETHER, together
from redetail.engines.restoration.colour import held
from redetail.engines.restoration.dial import Dial
from redetail.engines.restoration.draft import drafts
from redetail.engines.restoration.folder import Loaded, load
from redetail.engines.restoration.network import RestorationUNet
from redetail.engines.restoration.restraint import fine_energy, restrained, sums
from redetail.engines.restoration.tasks import KEEP, task_weights
from redetail.geometry.context import ContextWindow
from redetail.machine import give_back_memory
from redetail.sampling import Denoiser, NoisePath, VarianceExploding, sampler_names, scheduler_names
from redetail.settings import Settings

_COST = Cost(stretch_bytes=130, window_bytes=110, request_bytes=190_000_000, even=True)
"""Measured with benchmarks/engine_memory.py and rounded up: latents and looks at the crops for all frames, the
network's layers for the frames of a window, and the crops that are read at once."""


class RestorationModel:
    """A :class:`~redetail.engines.latent.LatentModel` conditioned on the crop, and on words that say what to remove.

    The prompt gives each task of the network a weight (1 if the prompt is empty), and so does the negative prompt (0 if
    it is empty, which leaves the crop unchanged). Guidance moves from the negative weights to the prompt's and, with a
    cfg above 1, beyond them. The predicted residuals of the tasks are weighted with the result, so that all of this
    takes one network call. A network that does not distinguish tasks reads no text.

    The network restores as much from a low noise level as from a high one, since noise hides nothing of the crop from
    it. So ``settings.denoise`` does not set where sampling starts but how much is invented. With one network, it
    weights the residuals, from 0 (the crop) to 1 (everything that was predicted). With two networks, it does so up to
    `dial.FAITHFUL`, where only the first one works, and from there on moves to the inventive one through mixtures of
    their weights.
    """

    def __init__(self, loaded: Loaded, placement: Placement) -> None:
        self._dial, self._draft, self._codec = Dial(loaded.network, loaded.inventive), loaded.draft, loaded.codec
        self._placement, self._context_length = placement, loaded.card.context_length
        self._path = VarianceExploding.stable_diffusion("x0")

    def noise_path(self, settings: Settings) -> NoisePath:
        """How noise is added for the network, whatever the settings."""
        return self._path

    def calls(self, frames: int, settings: Settings) -> int:
        """One call for each look at a few crops; with drafts, twice as many, and one for each context window."""
        if not self._weights(settings).any():
            return 0
        looks = -(-frames // TOGETHER)
        return looks if self._draft is None else 2 * looks + len(self._windows(frames, settings))

    def condition(self, crops: CropSource, settings: Settings, tick: Callable[[], None]) -> DenoiserFor:
        """The denoiser of some frames, which sees the crops of those frames and of their neighbours."""
        weights = self._weights(settings)
        if not weights.any():
            return lambda frames: _unchanged
        network = self._dial.network(settings.denoise)
        seen = cache(lambda: self._seen(network, crops, settings, tick))
        fine = cache(lambda: self._fine(crops))
        return lambda frames: self._denoiser(network, seen()[frames], weights, fine()[frames])

    def _windows(self, frames: int, settings: Settings) -> list[ContextWindow]:
        return context_windows_for(frames, settings, self._context_length)

    def _seen(
        self, network: RestorationUNet, crops: CropSource, settings: Settings, tick: Callable[[], None]
    ) -> Tensor:
        """What a network sees of all crops of a segment, and of their drafts."""
        motion = self._codec.motion(crops)
        beside = self._codec.neighbours(crops, motion)
        ranges = list(crops.ranges(together(crops.size)))
        told = (self._codec.condition(crops.read(*some), beside) for some in ranges)
        looks = [network.look] if self._draft is None else [network.look, self._draft.look]
        seen: list[Tensor] = []
        for place, made in self._looked(told, tick, *looks):
            # Filled part by part: joining the parts at the end would take twice the memory.
            seen = seen or [_room(part, crops.frames) for part in made]
            for whole, part in zip(seen, made, strict=True):
                whole[place] = part
        give_back_memory()
        if self._draft is not None:
            with self._precision:
                first = drafts(self._draft, self._codec, crops, seen.pop(), self._windows(crops.frames, settings), tick)
            beside = self._codec.neighbours(first, motion)
            told = (self._codec.drafted(first.read(*some), crops.read(*some), beside) for some in ranges)
            for place, (part,) in self._looked(told, tick, network.look_at_draft):
                seen[0][place] += part
            give_back_memory()
        return seen[0]

    def _fine(self, crops: CropSource) -> Tensor:
        """The energy of the crops' fine detail, if the network is restrained by it; otherwise empty."""
        if not self._codec.config.restraint:
            return torch.empty(crops.frames, 0)
        ranges = crops.ranges(together(crops.size))
        return torch.cat([fine_energy(self._codec.pixels(crops.read(*some))) for some in ranges])

    def _looked(
        self, told: Iterable[Tensor], tick: Callable[[], None], *looks: Callable[[Tensor], Tensor]
    ) -> Iterator[tuple[slice, list[Tensor]]]:
        """What networks read from their conditions, a part of the frames at a time; a tick for every TOGETHER."""
        done = 0
        for part in told:
            with self._precision:
                made = [look(part) for look in looks]
            yield slice(done, done + len(part)), made
            if done % TOGETHER == 0:
                tick()
            done += len(part)

    @property
    def _precision(self) -> torch.autocast:
        kind, dtype = self._placement.device.type, self._placement.dtype
        return torch.autocast(kind, dtype, enabled=dtype != torch.float32)

    def _weights(self, settings: Settings) -> Tensor:
        """The weights (T,) of the tasks' residuals."""
        tasks, share = self._codec.config.tasks, self._dial.share(settings.denoise)
        if not tasks:
            return torch.tensor([share * settings.cfg])
        positive = torch.tensor(task_weights(settings.prompt, tasks) or (1.0,) * len(tasks))
        negative = torch.tensor(task_weights(settings.negative, tasks) or (0.0,) * len(tasks))
        return share * (negative + settings.cfg * (positive - negative))

    def _denoiser(self, network: RestorationUNet, seen: Tensor, weights: Tensor, fine: Tensor) -> Denoiser:
        config = network.config

        def denoise(x: Tensor, sigma: float, /) -> Tensor:
            level = torch.tensor(sigma, device=x.device)
            with self._precision:
                if not config.restraint:
                    return held(network(x.float(), level, seen, len(x), weights=weights), config).to(x.dtype)
                x0, luma = network.beside_luma(x.float(), level, seen, len(x), weights, sums(config.tasks))
            return restrained(held(x0, config), luma, fine, config).to(x.dtype)

        return denoise


def _room(part: Tensor, frames: int) -> Tensor:
    """An uninitialised tensor like ``part`` (N, C, h, w) for this many frames, stored channels last."""
    shape = (frames, *part.shape[1:])
    return torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=torch.channels_last)


def _unchanged(x: Tensor, sigma: float, /) -> Tensor:
    """The denoiser that leaves the crops as they are."""
    return torch.zeros_like(x)


def load_restoration_engine(path: Path, placement: Placement) -> LatentEngine:
    """An engine from the folder of a restoration model (see :mod:`redetail.engines.restoration.folder`).

    Raises :class:`~redetail.errors.ModelError` for a folder that cannot be used.
    """
    return restoration_engine(load(path, placement.device), placement)


def restoration_engine(loaded: Loaded, placement: Placement) -> LatentEngine:
    """An engine for networks that are already in memory, on the device of the placement."""
    card, config = loaded.card, loaded.network.config
    capabilities = Capabilities(
        name=f"{card.name} {card.version}",
        size_multiple=config.size_multiple,
        context_length=card.context_length,
        samplers=sampler_names(),
        schedulers=scheduler_names(),
        defaults=card.defaults,
        uses_prompt=bool(config.tasks),
        prompt_words=(*config.tasks, KEEP) if config.tasks else (),
        part_pixels=16 * 512 * 512,  # its latents are as large as the pixels: about 200 bytes per pixel in all
        cost=_COST if placement.device.type == "cpu" else Cost(even=True),
    )
    model = RestorationModel(loaded, placement)
    return LatentEngine(loaded.codec, model, capabilities, placement, differential=False, partial=False)
