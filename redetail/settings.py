"""Settings of the detailer: one declaration that the library, the command line, the web page and the nodes share.

:class:`Settings` is always complete. A request is a mapping that holds only the settings that were given, and each
engine has its own defaults; :func:`resolve` combines the two and validates the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields
from itertools import pairwise
from typing import Any, Literal

from redetail.documents import is_text, shown
from redetail.errors import SettingsError, UnknownNameError

MAX_RESOLUTION = 16384
GuideSizeFor = Literal["bbox", "crop_region"]
ContextBlend = Literal["ramp", "pyramid", "flat"]
MaskShape = Literal["given", "box", "oval", "head", "hand", "person"]

Presets = Mapping[str, Mapping[str, Any]]
"""Settings that belong together, by the name of the preset."""

_TYPED: Mapping[str, str] = {"loras": "lora"}


LOOK, CROP, SAMPLING = "what the subject should look like", "size of the crop", "sampling"
WINDOWS, REFINER, EDGES = "context windows", "refiner", "softness of the edges"
"""Groups of settings, as the command line's help lists them."""

COMMON = "common"
"""Metadata key that marks the settings that most people need; the others are shown on request."""


def _number(
    group: str,
    default: float,
    low: float,
    high: float,
    text: str,
    *,
    step: float | None = None,
    unit: str = "",
    common: bool = False,
) -> Any:
    limits = {"low": low, "high": high, "step": step, "unit": unit}
    return field(default=default, metadata={"group": group, "help": text, COMMON: common, **limits})


def _choice(group: str, default: Any, choices: tuple[str, ...], text: str) -> Any:
    return field(default=default, metadata={"group": group, "help": text, "choices": choices})


def _value(group: str, default: Any, text: str, *, common: bool = False) -> Any:
    return field(default=default, metadata={"group": group, "help": text, COMMON: common})


def _several(group: str, form: str, text: str) -> Any:
    return field(default=(), metadata={"group": group, "help": text, "several": form})


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything that decides how a region is detailed. The defaults are those of the detailer node (Stable Diffusion).

    Raises :class:`~redetail.errors.SettingsError` if a value is out of range. The engine checks the names of samplers
    and schedulers, since engines differ in those that they have.
    """

    prompt: str = _value(
        LOOK,
        "",
        "what the subject should look like; takes weights such as (word:1.2) and key frames such as "
        '"0: smiling; 24: laughing"',
        common=True,
    )
    negative: str = _value(LOOK, "", "what the subject should not look like", common=True)
    loras: tuple[str, ...] = _several(
        LOOK, "FILE[:STRENGTH]", "additional LoRA for the model; repeatable, and the effects add up"
    )
    clip_skip: int = _number(
        LOOK, 1, 1, 24, "layer of the text encoder to read, counted back from the last; 1: the last", step=1
    )
    seed: int = _number(LOOK, 0, 0, 2**64 - 1, "noise seed; the same seed gives the same result", step=1, common=True)
    denoise: float = _number(
        LOOK, 0.5, 0.0001, 1, "how much is invented: 0 keeps the crop, 1 ignores the crop", step=0.01, common=True
    )
    strength: float = _number(
        LOOK,
        0.0,
        0,
        1,
        "share of noise in the crop when sampling starts; the same value has the same effect with every model, "
        "whatever the model's shift; replaces denoise (0: use denoise)",
        step=0.01,
    )
    cancel_vae: bool = _value(
        LOOK, False, "restore what the source loses in the VAE; this needs an extra decoding pass"
    )
    denoise_by_size: str = _value(
        LOOK,
        "",
        "value of denoise for each subject, according to the shorter side of its box in pixels, as in "
        "30:1,120:0.35; values for sizes in between are interpolated",
    )
    color_match: bool = _value(
        LOOK, True, "keep the source's colours: the low frequencies of the result follow those of the crop"
    )
    guide_size: float = _number(
        CROP,
        512.0,
        1,
        MAX_RESOLUTION,
        "length to which the shorter side of the box (or of the crop, see guide-size-for) is scaled up",
        step=8,
        unit="pixels",
        common=True,
    )
    guide_size_for: GuideSizeFor = _choice(
        CROP, "bbox", ("bbox", "crop_region"), "what guide-size applies to: the subject's box or the crop"
    )
    max_size: float = _number(
        CROP,
        768.0,
        1,
        MAX_RESOLUTION,
        "maximum length of the longer side of a crop while it is processed",
        step=8,
        unit="pixels",
    )
    max_upscale: float = _number(
        CROP,
        0.0,
        0,
        100,
        "largest factor by which a crop is scaled up to reach guide-size (0: no limit)",
        step=0.1,
    )
    crop_factor: float = _number(
        CROP, 3.0, 1, 100, "side length of the crop window as a multiple of that of the subject's box", step=0.1
    )
    steps: int = _number(SAMPLING, 20, 1, 10000, "number of sampling steps", step=1, common=True)
    cfg: float = _number(
        SAMPLING, 8.0, 0, 100, "guidance: how strongly the result follows the prompt; 1 halves the work", step=0.1
    )
    sampler: str = _value(SAMPLING, "euler", "name of the sampler")
    scheduler: str = _value(SAMPLING, "normal", "name of the noise schedule, or a list of sigmas")
    shift: float = _number(
        SAMPLING,
        0.0,
        0,
        100,
        "video transformers only: how far the schedule is shifted towards noise; with a higher shift, the same denoise "
        "changes more (1: no shift, 0: the model's default)",
        step=0.1,
    )
    context_length: int = _number(
        WINDOWS,
        0,
        0,
        4096,
        "length of a context window, which the motion layers process as a whole (0: the model's default)",
        step=1,
        unit="frames",
    )
    context_overlap: int = _number(
        WINDOWS, 4, 0, 4096, "overlap of neighbouring context windows", step=1, unit="frames"
    )
    context_stride: int = _number(
        WINDOWS,
        1,
        1,
        256,
        "largest stride of context windows; above 1, the first half of the steps also uses windows of every 2nd, 4th, "
        "... frame, and each of these strides takes as long again as the windows of consecutive frames",
        step=1,
    )
    context_loop: bool = _value(
        WINDOWS, False, "treat the subject's frames as a closed loop: windows continue from the last frame to the first"
    )
    context_blend: ContextBlend = _choice(
        WINDOWS, "ramp", ("ramp", "pyramid", "flat"), "how overlapping context windows fade into one another"
    )
    free_noise: bool = _value(
        WINDOWS, False, "reuse the noise of the first context window, shuffled, in the later windows (FreeNoise)"
    )
    refiner_ratio: float = _number(REFINER, 0.2, 0, 1, "share of the steps that the refiner takes over", step=0.01)
    refiner_prompt: str = _value(REFINER, "", "prompt for the refiner, if different from the main prompt")
    refiner_negative: str = _value(REFINER, "", "negative prompt for the refiner, if different from the main one")
    mask_shape: MaskShape = _choice(
        EDGES,
        "given",
        ("given", "box", "oval", "head", "hand", "person"),
        "which part of the subject's box to detail: given (the mask if there is one, otherwise the box), box (always "
        "the box), oval (a face's outline), head (with hair and ears), hand, or person (the whole person)",
    )
    mask_feather: int = _number(
        EDGES, 20, 0, 100, "width of the soft edge of the area that is detailed", step=1, unit="pixels of the crop"
    )
    paste_feather: int = _number(
        EDGES, 5, 0, 1000, "width of the soft edge of the pasted area", step=1, unit="pixels of the frame"
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, _checked(item, getattr(self, item.name)))
        if denoise_points(self.denoise_by_size) and self.strength:
            raise SettingsError(
                f"strength is {self.strength:g} and denoise-by-size is {self.denoise_by_size}, but each of "
                "these two replaces denoise; give only one of the two."
            )
        if 0 < self.context_length <= self.context_overlap:
            raise SettingsError(
                f"context-overlap is {self.context_overlap}, but context-length is only {self.context_length}; make "
                "the overlap smaller."
            )

    def as_dict(self) -> dict[str, Any]:
        """All values by name, ready for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def denoise_points(typed: str) -> tuple[tuple[float, float], ...]:
    """The pairs of size in pixels and denoise that ``denoise_by_size`` lists, in order; empty if the text is empty.

    Raises :class:`~redetail.errors.SettingsError` for anything but SIZE:DENOISE[,SIZE:DENOISE...] with sizes in
    ascending order.
    """
    limits = setting("denoise").metadata
    try:
        points = tuple((float(size), float(denoise)) for size, denoise in _pairs(typed))
    except ValueError:
        points = ((math.nan, math.nan),)
    sizes = [size for size, _ in points]
    grow = all(one < two for one, two in pairwise(sizes)) and all(0 <= size < math.inf for size in sizes)
    if not grow or not all(limits["low"] <= denoise <= limits["high"] for _, denoise in points):
        raise SettingsError(
            f"denoise-by-size is {shown(typed)}; give increasing sizes, each with a denoise value from "
            f"{limits['low']} to {limits['high']}, as in 30:1,120:0.35."
        )
    return points


def _pairs(typed: str) -> Iterator[list[str]]:
    yield from (part.split(":") for part in typed.split(",") if typed.strip())


def setting(name: str) -> Field[Any]:
    """The declaration of a setting: its default, and its group, help, unit and limits in ``metadata``."""
    return next(item for item in fields(Settings) if item.name == name)


def settings_by_group() -> dict[str, list[Field[Any]]]:
    """The declarations of all settings in order, by the title of their group."""
    titles = dict.fromkeys(item.metadata["group"] for item in fields(Settings))
    return {title: [item for item in fields(Settings) if item.metadata["group"] == title] for title in titles}


def described(item: Field[Any]) -> str:
    """The help text of a setting, with its unit if it has one."""
    unit = item.metadata.get("unit")
    return f"{item.metadata['help']}, in {unit}" if unit else str(item.metadata["help"])


def display_name(name: str) -> str:
    """A setting's name as people type it: ``guide_size`` -> ``guide-size``, ``loras`` -> ``lora``."""
    return _TYPED.get(name, name).replace("_", "-")


def resolve(requested: Mapping[str, Any], defaults: Mapping[str, Any], presets: Presets | None = None) -> Settings:
    """Complete settings. For each setting, the first of these that exists counts: the value that was requested (None:
    not given), the value from the requested ``preset`` (one of the engine's ``presets``), the engine's default, the
    node's default. If a ``guide_size`` is requested without a ``max_upscale``, the engine's default ``max_upscale``
    does not apply, so that the guide size takes effect.

    Raises :class:`~redetail.errors.SettingsError` for a name that is not a setting, or a preset that does not exist.
    """
    given = with_preset(requested, presets or {})
    known = [item.name for item in fields(Settings)]
    for name in (*given, *defaults):
        if name not in known:
            raise UnknownNameError("setting", name, known)
    if "guide_size" in given:
        defaults = {name: value for name, value in defaults.items() if name != "max_upscale"}
    return Settings(**{**defaults, **given})


def check_given(requested: Mapping[str, Any], presets: Presets) -> None:
    """Raise what :func:`resolve` would raise for each setting by itself, given the ``presets`` of all engines. This
    works without an engine; loading one can take a minute."""
    known = {item.name: item for item in fields(Settings)}
    for name, value in with_preset(requested, presets).items():
        if name not in known:
            raise UnknownNameError("setting", name, known)
        _checked(known[name], value)


def with_preset(requested: Mapping[str, Any], presets: Presets) -> dict[str, Any]:
    """What was requested, with ``preset`` replaced by the settings that it stands for."""
    given = {name: value for name, value in requested.items() if value is not None}
    preset = given.pop("preset", None)
    if preset is None:
        return given
    if not isinstance(preset, str) or preset not in presets:
        raise UnknownNameError("preset", preset, presets)
    return {**presets[preset], **given}


def _checked(item: Field[Any], value: Any) -> Any:
    """The value as the field keeps it; raises SettingsError if it is invalid."""
    if "low" in item.metadata:
        return _checked_number(item.name, value, item.metadata, item.default)
    if "several" in item.metadata:
        return _checked_texts(item.name, value)
    if "choices" in item.metadata and value not in item.metadata["choices"]:
        raise UnknownNameError(display_name(item.name), value, item.metadata["choices"])
    if not isinstance(value, type(item.default)):
        wanted = "text" if isinstance(item.default, str) else "true or false"
        raise SettingsError(f"{display_name(item.name)} must be {wanted}, not {shown(value)}.")
    if isinstance(value, str) and not is_text(value):
        raise SettingsError(
            f"{display_name(item.name)} is {shown(value)}, which is not valid UTF-8; enter it again as UTF-8 text."
        )
    return value


def _checked_number(name: str, value: Any, limits: Mapping[str, Any], default: Any) -> float | int:
    """The value as the default's type; raises SettingsError if it is not a number or out of range."""
    whole = isinstance(default, int)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError(f"{display_name(name)} must be a number, not {shown(value)}.")
    if (isinstance(value, float) and not math.isfinite(value)) or (whole and value != int(value)):
        raise SettingsError(
            f"{display_name(name)} must be a {'whole' if whole else 'finite'} number, not {shown(value)}."
        )
    if not limits["low"] <= value <= limits["high"]:
        raise SettingsError(
            f"{display_name(name)} is {shown(value)}; it must be between {limits['low']} and {limits['high']}."
        )
    return int(value) if whole else float(value)


def _checked_texts(name: str, value: Any) -> tuple[str, ...]:
    """The value as a tuple; raises SettingsError if it is not a list of texts."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(one, str) for one in value):
        raise SettingsError(f"{display_name(name)} must be a list of strings, not {shown(value)}.")
    return tuple(value)
