"""The bundled engine: the restoration network behind a :class:`~redetail.engines.latent.LatentEngine`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from redetail.engines.base import Capabilities, Pixels
from redetail.engines.device import Placement
from redetail.engines.latent import DenoiserFor, LatentEngine
from redetail.engines.restoration.codec import ResidualCodec
from redetail.engines.restoration.folder import load
from redetail.engines.restoration.network import RestorationUNet
from redetail.engines.restoration.tasks import task_weights
from redetail.sampling import Denoiser, NoiseTable, sampler_names, scheduler_names
from redetail.settings import Settings

_TOGETHER = 16  # frames


class RestorationModel:
    """A :class:`~redetail.engines.latent.LatentModel` that is told the crop, and by a few words what to take away.

    The prompt gives each task of the network a weight, 1 each where it is empty, and so does the negative, 0 each
    where it is empty: leave the crop alone. Guidance moves from the negative to the prompt and, above a cfg of 1,
    beyond. The predicted residuals of the tasks are weighted with the result, so that all of this is one network call.
    A network that tells no tasks apart reads no text.

    The network restores as much from a low noise level as from a high one: noise hides nothing of the crop from it. So
    ``settings.denoise`` weighs the residuals too, from 0, the crop, to 1, all that was predicted.
    """

    def __init__(self, network: RestorationUNet, codec: ResidualCodec, placement: Placement) -> None:
        self._network, self._codec, self._placement = network, codec, placement
        self.table = NoiseTable.stable_diffusion()

    def condition(self, crops: Pixels, settings: Settings) -> DenoiserFor:
        """The denoiser of a run of frames sees the crops of those frames and of their neighbours."""
        weights = self._weights(settings)
        seen = cache(lambda: self._seen(crops))
        return lambda frames: self._denoiser(seen()[frames], weights)

    def _seen(self, crops: Pixels) -> Tensor:
        """What the network takes from all crops of a segment, a few at a time: the neighbours take the most memory."""
        neighbours, parts = self._codec.neighbours(crops), []
        for first in range(0, len(crops), _TOGETHER):
            taken = np.array(crops[first : first + _TOGETHER], np.float32)  # a copy: crops may be read-only
            with self._precision:
                parts.append(self._network.look(self._codec.condition(taken, neighbours)))
        return torch.cat(parts)

    @property
    def _precision(self) -> torch.autocast:
        kind, dtype = self._placement.device.type, self._placement.dtype
        return torch.autocast(kind, dtype, enabled=dtype != torch.float32)

    def _weights(self, settings: Settings) -> Tensor:
        """How much of each task's residual counts, (T,)."""
        tasks = self._network.config.tasks
        if not tasks:
            return torch.tensor([settings.denoise * settings.cfg])
        positive = torch.tensor(task_weights(settings.prompt, tasks) or (1.0,) * len(tasks))
        negative = torch.tensor(task_weights(settings.negative, tasks) or (0.0,) * len(tasks))
        return settings.denoise * (negative + settings.cfg * (positive - negative))

    def _denoiser(self, seen: Tensor, weights: Tensor) -> Denoiser:
        def denoise(x: Tensor, sigma: float, /) -> Tensor:
            if not weights.any():
                return torch.zeros_like(x)
            level = torch.tensor(sigma, device=x.device)
            with self._precision:
                x0: Tensor = self._network(x.float(), level, seen, len(x), weights=weights)
            return x0.to(x.dtype)

        return denoise


def load_restoration_engine(path: Path, placement: Placement) -> LatentEngine:
    """An engine from the folder of a restoration model (config.json, model.safetensors, card.json).

    Raises :class:`~redetail.errors.ModelError` for a folder that cannot be used.
    """
    network, codec, card = load(path, placement.device)
    capabilities = Capabilities(
        name=f"{card.name} {card.version}",
        size_multiple=codec.size_multiple,
        context_length=card.context_length,
        samplers=sampler_names(),
        schedulers=scheduler_names(),
        defaults=card.defaults,
        uses_prompt=bool(codec.config.tasks),
        part_pixels=16 * 512 * 512,  # its latents are as large as the pixels: some 200 bytes for each in all
    )
    model = RestorationModel(network, codec, placement)
    return LatentEngine(codec, model, capabilities, placement, differential=False)
