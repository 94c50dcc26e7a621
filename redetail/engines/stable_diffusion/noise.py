"""The noise that a UNet and its motion layers were trained on, in the terms of a scheduler_config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from redetail.errors import ModelError, UnknownNameError
from redetail.sampling import NoiseTable, PredictionType, prediction_type

# The last timestep of a zero-terminal-SNR schedule has no signal left; this keeps its sigma finite (4096).
_LEAST_SIGNAL = 2.0**-24


def prediction_of(scheduler: Mapping[str, Any]) -> PredictionType:
    """What the network predicts, by a scheduler_config.json; raises :class:`~redetail.errors.ModelError`."""
    try:
        return prediction_type(str(scheduler.get("prediction_type", "epsilon")))
    except UnknownNameError as error:
        raise ModelError(f"The model's scheduler_config.json cannot be used: {error}") from error


def noise_table(scheduler: Mapping[str, Any], motion: Mapping[str, Any]) -> NoiseTable:
    """The noise levels of a model with motion layers, from a scheduler_config.json.

    The betas of the motion layers (``motion``, in the same terms) replace scaled-linear betas, which are those of the
    plain model. Linear betas in the config are used, since no plain model has them. Raises
    :class:`~redetail.errors.ModelError` for a schedule of another kind.
    """
    name = scheduler.get("beta_schedule", "linear")
    if scheduler.get("trained_betas") is not None:
        raise ModelError("The model's scheduler_config.json contains trained_betas, which are not supported.")
    if name not in ("linear", "scaled_linear"):
        raise ModelError(
            f"The model's scheduler_config.json asks for the beta schedule {name!r}; only linear and scaled_linear are "
            "supported."
        )
    betas = _betas(scheduler if name == "linear" else {**scheduler, **motion})
    return NoiseTable.from_betas(_zero_terminal(betas) if scheduler.get("rescale_betas_zero_snr") else betas)


def _betas(terms: Mapping[str, Any]) -> Tensor:
    """Betas that are evenly spaced, or squares of evenly spaced values ("scaled_linear")."""
    power = 2 if terms.get("beta_schedule") == "scaled_linear" else 1
    ends = (float(terms.get("beta_start", 0.00085)), float(terms.get("beta_end", 0.012)))
    first, last = (end ** (1 / power) for end in ends)
    return torch.linspace(first, last, int(terms.get("num_train_timesteps", 1000)), dtype=torch.float64) ** power


def _zero_terminal(betas: Tensor) -> Tensor:
    """Betas stretched so that the last timestep keeps no signal (Lin et al. 2023, arXiv:2305.08891, algorithm 1)."""
    signal = torch.cumprod(1 - betas, 0).sqrt()
    signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    abar = signal**2
    # If the previous timestep already has less, the last one has half its amplitude.
    abar[-1] = _LEAST_SIGNAL if abar[-2] > _LEAST_SIGNAL else abar[-2] / 4
    return 1 - abar / torch.cat([torch.ones(1, dtype=abar.dtype), abar[:-1]])
