"""Options of the command line that are made from the settings, so that both are declared once."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from typing import Any

from redetail.cli.display import short
from redetail.engines.architectures import all_presets
from redetail.selection import FILTERS, kinds
from redetail.settings import REFINER, SAMPLING, Settings, described, display_name, settings_by_group
from redetail.video.options import CODECS, EncodeOptions

_ENCODING: Mapping[str, str] = {"preset": "encode_speed"}
"""Fields of EncodeOptions that are typed under another name."""

_PRESET = "set sampler, scheduler, steps and cfg together; options that you give yourself take precedence"


def add_settings(parser: argparse.ArgumentParser, titles: Iterable[str] | None = None) -> None:
    """Add an option for every setting in the groups with these titles (None: in all groups)."""
    groups = settings_by_group()
    for title in groups if titles is None else titles:
        group = parser.add_argument_group(title)
        if title == SAMPLING:
            group.add_argument("--preset", metavar="|".join(all_presets()), help=_PRESET)
        if title == REFINER:
            group.add_argument("--refiner-checkpoint", metavar="FILE", help="checkpoint that takes over the last steps")
        for item in groups[title]:
            _add_setting(group, item)


def add_subjects(group: argparse._ArgumentGroup) -> None:
    """Add the options that select subjects and the part of the clip."""
    options = {name: kind.option for name, kind in kinds().items()}
    options |= {name: kind.option for name, kind in FILTERS.items()}
    for name, option in options.items():
        action = "append" if option.repeatable else "store"
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, action=action, type=option.parse, metavar=option.metavar, help=option.help)
    group.add_argument(
        "--start", metavar="TIME", help="start at this time, in seconds or h:m:s, or at a frame, such as 120f"
    )
    group.add_argument("--end", metavar="TIME", help="end just before this time or frame")


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The settings and the preset that were typed, by name; others are left out."""
    names = ("preset", *(item.name for item in fields(Settings)))
    given = {name: getattr(options, name, None) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def add_model(group: argparse._ArgumentGroup) -> None:
    """Add the options of :class:`~redetail.engines.spec.ModelSpec`; LoRA stands among the settings."""
    several = {"action": "append"}
    for flag, metavar, more, text in (
        ("--motion-module", "FILE", {}, "AnimateDiff motion module, in the published format"),
        ("--motion-lora", "FILE[:STRENGTH]", several, "LoRA for the motion module; repeatable, and the effects add up"),
        ("--vae", "FILE", {}, "VAE to use instead of the checkpoint's own; for Wan, a file or folder"),
        ("--text-encoder", "FILE", {}, "Wan only: the UMT5 text encoder, a file or folder"),
        ("--low-noise-checkpoint", "FILE", {},
         "Wan 2.2 only: the low-noise expert; --checkpoint is then the high-noise expert, and both are used"),
        ("--high-noise-lora", "FILE[:STRENGTH]", several,
         "Wan 2.2 only: LoRA for the high-noise expert, if both experts are used; repeatable, and the effects add up"),
        ("--embedding", "FILE", several,
         "textual inversion embedding; refer to it in prompts by its file name; repeatable"),
        ("--controlnet", "FILE[:STRENGTH[:START[:END]]]", several,
         "ControlNet that is active from START to END, as fractions of the steps (0..1); repeatable"),
        ("--control", "NAME|FILE", several,
         "hint for the matching --controlnet (the first for the first, and so on): a video of hints, or a kind of hint "
         "to compute from the crops"),
    ):  # fmt: skip
        group.add_argument(flag, metavar=metavar, help=text, **more)  # type: ignore[arg-type]  # keyword by keyword


def add_memory(group: argparse._ArgumentGroup) -> None:
    """Add the options of :class:`~redetail.engines.memory.Memory`, which --help cannot ask, since it needs torch."""
    limit = "limit on the memory that a run takes, such as 6GB [most of the free memory]"
    group.add_argument("--memory", dest="limit", metavar="SIZE", help=limit)
    kinds = "float32, float16 or bfloat16"
    group.add_argument("--dtype", metavar="NAME", help=f"precision of the networks: {kinds}")
    group.add_argument("--vae-dtype", metavar="NAME", help="precision of the VAE, if it should differ from --dtype")
    group.add_argument(
        "--text-dtype", metavar="NAME", help="precision of the text encoder, if it should differ from --dtype"
    )
    attention = "how to compute attention: sdpa is fastest, sliced takes the least memory"
    group.add_argument("--attention", metavar="sdpa|sliced", help=attention)
    for flag, text in (
        ("--channels-last", "use a memory layout in which convolutions are faster on GPUs"),
        ("--compile", "compile the UNet: this takes a few minutes at the start, but makes each step faster"),
        ("--offload", "keep the VAE and the text encoder off the device while they are idle"),
        (
            "--block-offload",
            "Wan only: move the transformer's blocks to the device one by one; slower, but saves memory",
        ),
        (
            "--fp8-weights",
            "Wan only: keep fp8 weights in fp8, and convert them only when they are used",
        ),
    ):
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
    group.add_argument("--vae-batch", type=number, metavar="N", help="number of frames that the VAE processes at once")
    group.add_argument(
        "--vae-tile", type=number, metavar="N", help="side length of the VAE's tiles, in pixels; 0: no tiles"
    )


def add_encoding(group: argparse._ArgumentGroup) -> None:
    """Add the options of :class:`~redetail.video.options.EncodeOptions`."""
    group.add_argument(
        "--codec", metavar="NAME", help=f"video codec: {', '.join(CODECS)} [chosen to suit OUT and the source]"
    )
    group.add_argument(
        "--quality",
        type=number,
        metavar="N",
        help="encoding quality from 0 (best) to 63, like FFmpeg's -crf [close to the source's quality: 13 to 18, or 18 "
        "to 23 for VP9 and AV1]",
    )  # fmt: skip
    group.add_argument(
        "--encode-speed", dest="encode_speed", metavar="NAME",
        help="encoder preset for h264 and h265, from ultrafast to veryslow [medium]",
    )  # fmt: skip
    lossless = "encode without loss; makes large files"
    group.add_argument("--lossless", action=argparse.BooleanOptionalAction, default=None, help=lossless)


def encoding_of(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of :class:`~redetail.video.options.EncodeOptions` that were typed."""
    given = {item.name: getattr(options, _ENCODING.get(item.name, item.name)) for item in fields(EncodeOptions)}
    return {name: value for name, value in given.items() if value is not None}


def _add_setting(group: argparse._ArgumentGroup, item: Field[Any]) -> None:
    flag, text = f"--{display_name(item.name)}", described(item)
    if isinstance(item.default, bool):
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
    elif "choices" in item.metadata:
        metavar = "|".join(item.metadata["choices"])
        group.add_argument(flag, metavar=metavar, help=text)
    elif "several" in item.metadata:
        group.add_argument(flag, dest=item.name, action="append", metavar=item.metadata["several"], help=text)
    elif "low" in item.metadata:
        limits = f"{short(item.metadata['low'])}..{short(item.metadata['high'])}"
        group.add_argument(flag, type=number, metavar="N", help=f"{text} ({limits})")
    else:
        group.add_argument(flag, metavar="TEXT" if not item.default else "NAME", help=text)


def number(text: str) -> int | float | str:
    """The number in a text; other text stays as it is, and the settings will report it."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
