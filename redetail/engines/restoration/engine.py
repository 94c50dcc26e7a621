"""The bundled engine: the restoration network behind a :class:`~redetail.engines.latent.LatentEngine`."""

from __future__ import annotations

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
        """The denoiser of a run of frames sees the crops of those frames (copied: the crops may be read-only)."""
        weights = self._weights(settings)
        return lambda frames: self._denoiser(self._codec.condition(np.array(crops[frames], np.float32)), weights)

    def _weights(self, settings: Settings) -> Tensor:
        """How much of each task's residual counts, (T,)."""
        tasks = self._network.config.tasks
        if not tasks:
            return torch.tensor([settings.denoise * settings.cfg])
        positive = torch.tensor(task_weights(settings.prompt, tasks) or (1.0,) * len(tasks))
        negative = torch.tensor(task_weights(settings.negative, tasks) or (0.0,) * len(tasks))
        return settings.denoise * (negative + settings.cfg * (positive - negative))

    def _denoiser(self, condition: Tensor, weights: Tensor) -> Denoiser:
        placement = self._placement

        def denoise(x: Tensor, sigma: float, /) -> Tensor:
            if not weights.any():
                return torch.zeros_like(x)
            level = torch.tensor(sigma, device=x.device)
            with torch.autocast(x.device.type, placement.dtype, enabled=placement.dtype != torch.float32):
                x0: Tensor = self._network(x.float(), level, condition, len(x), weights=weights)
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
