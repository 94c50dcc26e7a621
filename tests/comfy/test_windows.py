"""Context windows on stand-ins that have what AnimateDiff-Evolved and ComfyUI's core keep at a model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from redetail.comfy.windows import with_context_windows
from redetail.errors import ModelError


class ContextOptions:
    """One choice of windows; without a length there are none."""

    def __init__(self, context_length: int | None = None, **others: Any) -> None:
        self.context_length, self.others = context_length, others


class Group:
    """Choices over time, of which the first holds from the start."""

    def __init__(self) -> None:
        self.contexts: list[ContextOptions] = []
        self.extras = "extras"

    def add(self, options: ContextOptions) -> None:
        self.contexts.append(options)

    def clone(self) -> Group:
        group = Group()
        group.contexts = list(self.contexts)
        return group

    @property
    def context_length(self) -> int | None:
        return self.contexts[0].context_length


class Parameters:
    def __init__(self, group: Any) -> None:
        self.context_options = group

    def clone(self) -> Parameters:
        return Parameters(self.context_options)


class Model:
    """A model patcher with one motion model that takes ``limit`` frames."""

    def __init__(self, limit: int | None, group: Any = None, handler: Any = None) -> None:
        self.limit, self.parameters = limit, None if group is None else Parameters(group)
        self.model_options: dict[str, Any] = {} if handler is None else {"context_handler": handler}
        self.additional_models = {"ADE_motion_models": []}

    def clone(self) -> Model:
        model = Model(self.limit)
        model.parameters, model.model_options = self.parameters, dict(self.model_options)
        return model

    def get_attachment(self, name: str) -> Any:
        return self.parameters

    def set_attachments(self, name: str, value: Any) -> None:
        self.parameters = value

    def get_additional_models_with_key(self, name: str) -> list[Any]:
        return [SimpleNamespace(model=SimpleNamespace(encoding_max_len=self.limit))]


def group(length: int | None = None) -> Group:
    result = Group()
    result.add(ContextOptions(length))
    return result


def test_a_longer_clip_gets_windows() -> None:
    model = Model(24, group())
    changed = with_context_windows(model, 25)
    (options,) = changed.get_attachment("ADE_params").context_options.contexts
    assert (options.context_length, options.others["context_overlap"]) == (16, 4)
    assert changed is not model
    assert model.get_attachment("ADE_params").context_options.context_length is None


def test_a_short_motion_model_gets_windows_that_it_can_take() -> None:
    changed = with_context_windows(Model(8, group()), 9)
    assert changed.get_attachment("ADE_params").context_options.context_length == 8


@pytest.mark.parametrize(
    ("model", "frames"),
    [
        (Model(24, group()), 24),
        (Model(24, group(12)), 100),
        (Model(None, group()), 100),
        (Model(24), 100),
        (SimpleNamespace(model_options={}), 100),
    ],
    ids=["short enough", "with windows", "no limit", "no motion model", "another kind of patcher"],
)
def test_other_models_stay_as_they_are(model: Any, frames: int) -> None:
    assert with_context_windows(model, frames) is model


def test_a_motion_model_without_options_is_named() -> None:
    with pytest.raises(ModelError, match="takes at most 24 frames, but the clip has 25; connect context options"):
        with_context_windows(Model(24, SimpleNamespace(context_length=None)), 25)


class Handler:
    """Finds the step by its sigma, as ComfyUI's does: with one sigma, not with one for each frame."""

    step = -1

    def set_step(self, timestep: torch.Tensor, model_options: dict[str, Any]) -> None:
        self.step = int(torch.nonzero(torch.isclose(model_options["sigmas"], timestep))[0])


def test_core_windows_find_the_step_of_a_batch() -> None:
    handler = Handler()
    model = Model(24, group(), handler)
    changed = with_context_windows(model, 100)
    ours = changed.model_options["context_handler"]
    ours.set_step(torch.full((5,), 2.0), {"sigmas": torch.tensor([3.0, 2.0, 1.0, 0.0])})
    assert ours.step == 1
    assert model.model_options["context_handler"] is handler
    assert handler.step == -1
