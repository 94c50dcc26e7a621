"""What the campaign tries: each kind of case is one function from a seed and an empty folder to a case."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import cv2

import redetail
from tests.fuzz import cases, commands
from tests.fuzz.harness import Make

KINDS: Mapping[str, tuple[int, Make]] = MappingProxyType(
    {
        "damaged clip": (600, cases.damaged_clip),
        "renamed clip": (50, cases.renamed_clip),
        "image folder": (50, cases.image_folder),
        "segments": (110, cases.segments),
        "job": (110, cases.job),
        "mask": (60, cases.mask),
        "safetensors": (70, cases.safetensors),
        "pickle": (50, cases.pickled),
        "model folder": (60, cases.model_folder),
        "name": (160, cases.name),
        "environment": (60, cases.environment),
        "signal": (80, cases.stopped),
        "full disk": (50, cases.full_disk),
        "options": (160, cases.options),
        "stages": (120, cases.stages),
        "engine": (12, cases.engines),
        "typed": (260, commands.typed),
        "tracks": (80, commands.tracks),
        "batch": (60, commands.batch),
        "evaluate": (40, commands.compared),
        "detector file": (80, commands.detector_file),
        "quantised": (100, commands.quantised),
        "resume": (50, commands.resumed),
        "page": (100, commands.page),
        "small disk": (60, commands.small_disk),
    }
)
"""How often each kind is tried in the whole campaign, and what makes a case of it."""


PAGE = "redetail.web.page"
"""Imports Gradio, which takes as long as all else together."""


def _import_all(left_out: tuple[str, ...]) -> None:
    """Everything that a case may import, so that none of them pays for it again."""
    for found in pkgutil.walk_packages(redetail.__path__, "redetail."):
        if not found.name.startswith(("redetail.comfy", "redetail.__main__", *left_out)):
            importlib.import_module(found.name)
    for heavy, names in {
        "diffusers": ("UNet2DConditionModel", "AutoencoderKL"),
        "transformers": ("CLIPTextModel",),
    }.items():
        module = importlib.import_module(heavy)
        for lazy in names:
            getattr(module, lazy)


@contextmanager
def prepared(*, page: bool) -> Iterator[None]:
    """The sound clips, while the context lasts; modules are imported (those of the ``page`` where it pays), and threads
    are few."""
    import torch

    _import_all(() if page else (PAGE,))
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    cases.prepare()
    try:
        yield
    finally:
        cases.clean_up()
