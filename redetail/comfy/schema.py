"""What a node declares to ComfyUI: its base class, and its inputs as the tuples that ComfyUI reads.

Every input has a tooltip; defaults and ranges come first so that a declaration reads like the table in the manual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

from redetail.settings import MAX_RESOLUTION, Settings, described, display_name, setting

__all__ = ["MAX_RESOLUTION", "Inputs", "Node", "choice", "number", "socket", "text", "toggle", "widget"]

Input = tuple[Any, dict[str, Any]]
Inputs = dict[str, dict[str, Input]]
"""``{"required": {name: input}, "optional": {name: input}}`` in the order of the widgets."""


class Node:
    """What ComfyUI asks of a node class.

    ``ID`` is the name that saved workflows hold, ``NAME`` the one that people read. ``FUNCTION`` names the method
    that does the work; it gets the inputs by keyword and returns a tuple with one value for each of ``RETURN_TYPES``.
    Errors are :class:`~redetail.errors.RedetailError`: ComfyUI shows their sentence at the node.
    """

    ID: ClassVar[str]
    NAME: ClassVar[str]
    CATEGORY: ClassVar[str]
    DESCRIPTION: ClassVar[str]
    RETURN_TYPES: ClassVar[tuple[str, ...]]
    OUTPUT_TOOLTIPS: ClassVar[tuple[str, ...]] = ()
    SEARCH_ALIASES: ClassVar[list[str]] = []
    FUNCTION: ClassVar[str] = "doit"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:  # ComfyUI's name
        """The inputs, in order."""
        raise NotImplementedError


def socket(kind: str, tooltip: str) -> Input:
    """An input that only a link can fill."""
    return kind, {"tooltip": tooltip}


def number(
    default: float, low: float, high: float, tooltip: str, *, step: float | None = None, whole: bool = False
) -> Input:
    """A number from ``low`` to ``high``; INT where ``whole``, else FLOAT."""
    limits = {"default": default, "min": low, "max": high} | ({} if step is None else {"step": step})
    return "INT" if whole else "FLOAT", {**limits, "tooltip": tooltip}


def toggle(default: bool, tooltip: str, on: str | None = None, off: str | None = None) -> Input:
    """A switch; ``on`` and ``off`` are what its two positions are called."""
    labels = {} if on is None or off is None else {"label_on": on, "label_off": off}
    return "BOOLEAN", {"default": default, **labels, "tooltip": tooltip}


def choice(options: Sequence[str], tooltip: str, default: str | None = None) -> Input:
    """One of ``options``; the first is chosen where no default is named."""
    return list(options), {**({} if default is None else {"default": default}), "tooltip": tooltip}


def widget(name: str, *, more: str = "", **changes: float | None) -> Input:
    """The input for a setting, with the default, limits, step and meaning that :class:`Settings` declares.

    ``more`` follows the meaning in the tooltip, as another sentence. ``changes`` are what a node of another pack had
    otherwise, by ComfyUI's names (``default``, ``min``, ``max``, ``step``; None: it had none), since saved workflows
    and their editors know that.
    """
    item = setting(name)
    tooltip = " ".join(filter(None, (f"{_as_inputs(described(item))}.", more)))
    if isinstance(item.default, bool):
        return toggle(item.default, tooltip)
    limits = {"default": item.default, "min": item.metadata["low"], "max": item.metadata["high"]}
    kept = {**limits, "step": item.metadata["step"], **changes}
    whole = "INT" if isinstance(item.default, int) else "FLOAT"
    return whole, {**{key: value for key, value in kept.items() if value is not None}, "tooltip": tooltip}


def _as_inputs(meaning: str) -> str:
    """A meaning as the beginning of a tooltip: names of other settings are spelled like inputs."""
    for name in sorted((item.name for item in fields(Settings) if "_" in item.name), key=len, reverse=True):
        meaning = meaning.replace(display_name(name), name)
    return meaning[:1].upper() + meaning[1:]


def text(
    default: str | None,
    tooltip: str,
    *,
    multiline: bool = False,
    placeholder: str | None = None,
    hints: Mapping[str, bool] | None = None,
) -> Input:
    """A line or a field of text, without a default where that is None; ``hints`` are options of the front end."""
    optional = {"default": default, "placeholder": placeholder}
    given = {name: value for name, value in optional.items() if value is not None}
    return "STRING", {**given, "multiline": multiline, **(hints or {}), "tooltip": tooltip}
