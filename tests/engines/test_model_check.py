"""``models check`` passes what behaves like a trained model, and names each of the faults that are planted."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from redetail.engines.model_check import ModelCheck, check_model
from tests.engines.trained_like import BlockCodec, clip, engine


def checked(codec: BlockCodec | None = None, **faults: Any) -> ModelCheck:
    return check_model(engine(codec, **faults), clip())


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_a_right_model_passes(prediction: str) -> None:
    found = checked(prediction=prediction, assumed=prediction)
    assert found.faults == ()
    assert all(measure.right for measure in found.measures)
    assert len(found.measures) == 7


def zeroed() -> dict[str, torch.nn.Module]:
    layer = torch.nn.Linear(4, 4)
    torch.nn.init.zeros_(layer.weight)
    return {"UNet": torch.nn.Sequential(torch.nn.Linear(4, 4), layer)}


def damaged() -> dict[str, torch.nn.Module]:
    layer = torch.nn.Linear(4, 4)
    torch.nn.init.constant_(layer.weight, float("nan"))
    return {"text encoder": layer}


@pytest.mark.parametrize(
    ("faults", "named"),
    [
        (
            {"prediction": "v"},
            "The network predicts v, but its config or its weight file specifies another prediction type",
        ),
        ({"prediction": "eps", "assumed": "v"}, r"The network predicts the noise \(eps\)"),
        ({"codec": BlockCodec(mixed=True)}, "the VAE belongs to another model"),
        ({"codec": BlockCodec(scale=5.5)}, "the scale factor in the VAE's config belongs to another model"),
        ({"codec": BlockCodec(lost=True)}, "The VAE does not reproduce its input"),
        ({"codec": BlockCodec(overflow=True)}, "The VAE overflows or is damaged: .* use vae-dtype float32"),
        ({"overflow": True}, "The network overflows on cpu in float32: use dtype"),
        ({"mixed_up": True}, r"The network does not denoise: its weights are damaged, .*\(mixed-up keys\)"),
        ({"foreign_motion": True}, "the motion module belongs to another base model"),
        ({"deaf": True}, "The text encoder does not respond to words: it is truncated"),
        ({"layers": zeroed()}, r"The layer 1\.weight of the UNet is all zeros"),
        ({"layers": damaged()}, "The layer weight of the text encoder has values that are not finite"),
    ],
)
def test_a_planted_fault_is_named(faults: dict[str, Any], named: str) -> None:
    (fault,) = checked(**faults).faults
    assert re.search(named, fault), fault
