"""Runs ControlNets: what each is shown and when, and what they add to the UNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from redetail.engines.base import CropSource, Pixels
from redetail.engines.config import Config
from redetail.engines.device import Placement
from redetail.engines.offload import OffloadedNetwork
from redetail.engines.spec import ControlFile
from redetail.engines.stable_diffusion.control_weights import load_controlnet
from redetail.engines.stable_diffusion.memory import set_up
from redetail.errors import SettingsError
from redetail.geometry.context import Frames
from redetail.imaging.hints import hint_names, make_hint
from redetail.sampling import StepIndex


@dataclass(frozen=True, slots=True)
class Control:
    """A ControlNet and how it is used; if its strength is 0, ``network`` is None and it has no effect."""

    file: ControlFile
    network: Any


@dataclass(frozen=True, slots=True)
class ShownControls:
    """ControlNets, each with its hints (F, h, w, 3) 0..1 for the current frames, and the steps of the sampling."""

    shown: tuple[tuple[Control, Pixels], ...]
    index: StepIndex

    def at(self, frames: Frames) -> ShownControls:
        """The same for some of the frames."""
        return ShownControls(tuple((control, hint[frames]) for control, hint in self.shown), self.index)

    def residuals(self, rows: Tensor, sigma: float, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The UNet's additional inputs, by its own names; empty if no ControlNet acts at ``sigma``.

        ``rows``: the UNet's scaled input (B, C, F, h, w). ``inputs``: timestep, encoder_hidden_states (B * F, tokens,
        width) and added_cond_kwargs (each B, n), as the UNet gets them. The outputs of several ControlNets add up.
        """
        acting = [one for one in self.shown if self.index.within(sigma, one[0].file.start, one[0].file.end)]
        total: list[Tensor] = []
        for control, hint in acting:
            added = _outputs(control, hint, rows, inputs)
            total = [one + other for one, other in zip(total, added, strict=True)] if total else added
        if not total:
            return {}
        return {"down_block_additional_residuals": tuple(total[:-1]), "mid_block_additional_residual": total[-1]}


def load_controls(controls: Sequence[ControlFile], placement: Placement, unet: Config) -> tuple[Control, ...]:
    """The ControlNets of a :class:`~redetail.engines.spec.ModelSpec` for a UNet with this config.

    A file that is used twice is loaded once; one with strength 0 is not loaded at all. Raises
    :class:`~redetail.errors.ModelError` for a file that cannot be used with this UNet.
    """
    paths = dict.fromkeys(control.path for control in controls if control.strength)
    networks = {path: load_controlnet(path, placement, unet) for path in paths}
    ready = {path: _ready(network, placement) for path, network in networks.items()}
    return tuple(Control(control, ready.get(control.path) if control.strength else None) for control in controls)


def _ready(network: Any, placement: Placement) -> Any:
    """A ControlNet set up like the UNet, and offloaded if other networks are."""
    set_up(network, placement.modes)
    return OffloadedNetwork(network, placement.device) if placement.modes.offload else network


def show(
    controls: Sequence[Control], crops: CropSource, hints: Mapping[str, CropSource], index: StepIndex
) -> ShownControls:
    """Give every ControlNet its hints: those in ``hints`` by name, else computed from ``crops``.

    Raises :class:`~redetail.errors.SettingsError` for a hint that can neither be computed nor was given, and for one
    that no ControlNet asks for.
    """
    asked = {control.file.hint for control in controls}
    unused = [name for name in hints if name not in asked]
    if unused:
        noun, pronoun = ("hint", "it") if len(unused) == 1 else ("hints", "them")
        raise SettingsError(f"No ControlNet asks for the {noun} {', '.join(map(repr, unused))}; leave {pronoun} out.")
    acting = [control for control in controls if control.network is not None and control.file.end > 0]
    ready = {name: _hint(name, crops, hints) for name in {control.file.hint: None for control in acting}}
    return ShownControls(tuple((control, ready[control.file.hint]) for control in acting), index)


def _hint(name: str, crops: CropSource, hints: Mapping[str, CropSource]) -> Pixels:
    if name in hints:
        return hints[name].all()
    if name not in hint_names():
        raise SettingsError(
            f"A ControlNet needs the hint {name!r}, which is neither a hint that can be computed "
            f"({', '.join(hint_names())}) nor one of the hints that were given."
        )
    return make_hint(name, crops.all())


def _outputs(control: Control, hint: Pixels, rows: Tensor, inputs: Mapping[str, Any]) -> list[Tensor]:
    """The outputs of one ControlNet, those of the levels first, then that of the middle; frames are its batch."""
    network, batch = control.network, len(rows)
    shown = torch.from_numpy(np.ascontiguousarray(hint)).to(rows.device, network.dtype).movedim(-1, 1)
    given = {name: _each_frame(_cast(value, network.dtype), rows.shape[2]) for name, value in inputs.items()}
    levels, middle = network(
        rows.movedim(2, 1).flatten(0, 1).to(network.dtype),
        controlnet_cond=shown.repeat(batch, 1, 1, 1),
        conditioning_scale=control.file.strength,
        return_dict=False,
        **given,
    )
    return [output.to(rows.dtype) for output in (*levels, middle)]


def _each_frame(value: Any, frames: int) -> Any:
    """Conditions that exist once per row of the UNet's batch, repeated for every frame; other inputs have their
    frames."""
    if not isinstance(value, Mapping):
        return value
    return {name: one.repeat_interleave(frames, 0) for name, one in value.items()}


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Floating-point tensors, also those in mappings, in the network's precision; timesteps stay integers."""
    if isinstance(value, Mapping):
        return {name: _cast(one, dtype) for name, one in value.items()}
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
