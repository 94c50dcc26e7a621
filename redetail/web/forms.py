"""The form of the settings: one field for each, made from its declaration, and the values filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, fields, replace
from enum import StrEnum
from typing import Any

from redetail.documents import shown
from redetail.engines.spec import ModelSpec
from redetail.errors import SettingsError
from redetail.settings import COMMON, Settings, described, display_name

_LONGEST = 4000
"""Characters of a text."""


class Control(StrEnum):
    """The kind of control in which a value is entered."""

    TEXT = "text"
    NUMBER = "number"
    CHOICE = "choice"
    CHECK = "check"
    FILES = "files"


@dataclass(frozen=True, kw_only=True)
class FormField:
    """One setting on the page. ``choices``: the values to choose from; ``open``: whether others can be typed."""

    name: str
    label: str
    help: str
    group: str
    control: Control
    default: Any
    common: bool = False
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    open: bool = False


def form_fields(names: Mapping[str, tuple[str, ...]]) -> tuple[FormField, ...]:
    """Fields for all settings, in order; ``names``: values that an engine knows ("sampler", "scheduler")."""
    return tuple(_field(item, names.get(item.name, ())) for item in fields(Settings))


def with_defaults(form: tuple[FormField, ...], defaults: Settings) -> tuple[FormField, ...]:
    """The same fields with the defaults of a model."""
    values = defaults.as_dict()
    return tuple(replace(one, default=values[one.name]) for one in form)


def by_group(form: tuple[FormField, ...], *, common: bool) -> dict[str, list[FormField]]:
    """The fields that most people need, or the others, under the titles of their groups."""
    chosen = [one for one in form if one.common is common]
    return {
        title: [one for one in chosen if one.group == title] for title in dict.fromkeys(one.group for one in chosen)
    }


def filled_in(form: tuple[FormField, ...], values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from the form's own values, checked.

    Raises :class:`~redetail.errors.SettingsError` for a value of the wrong kind or out of range.
    """
    given = {one.name: _read(one, values[one.name]) for one in form if one.name in values}
    asked = {one.name: given[one.name] for one in form if one.name in given and given[one.name] != one.default}
    Settings(**asked)
    return asked


def varied(form: tuple[FormField, ...], name: Any, text: Any) -> tuple[str, list[Any]] | None:
    """A setting and its values, typed with commas between them; None if there are none.

    Raises :class:`~redetail.errors.SettingsError` for an unknown setting or a value that it cannot have.
    """
    one = next((each for each in form if each.name == name), None)
    if one is None or one.control is Control.FILES or not isinstance(text, str | None) or len(text or "") > _LONGEST:
        raise SettingsError(
            f"The setting {shown(name)} cannot be compared at the values {shown(text)}; choose a setting from the "
            f"list, and give values of at most {_LONGEST} characters."
        )
    parts = [part.strip() for part in (text or "").split("|" if "|" in (text or "") else ",")]
    values = [_typed(one, part) for part in parts if part]
    for value in values:
        Settings(**{one.name: value})
    return (one.name, values) if values else None


def single_models() -> list[str]:
    """Fields of a model that name one file."""
    return [item.name for item in fields(ModelSpec) if item.default is None]


def several_models() -> list[str]:
    """Fields of a model that name several files; LoRA are among the settings, and a ControlNet needs a job file."""
    return [item.name for item in fields(ModelSpec) if item.default == () and item.name not in ("loras", "controls")]


def _field(item: Field[Any], names: tuple[str, ...]) -> FormField:
    meta = item.metadata
    choices = tuple(meta.get("choices", ())) or names
    control = Control.TEXT
    if isinstance(item.default, bool):
        control = Control.CHECK
    elif "several" in meta:
        control = Control.FILES
    elif "low" in meta:
        control = Control.NUMBER
    elif choices:
        control = Control.CHOICE
    return FormField(
        name=item.name,
        label=display_name(item.name).replace("-", " ").capitalize(),
        help=described(item),
        group=meta["group"],
        control=control,
        default=[] if control is Control.FILES else item.default,
        common=meta.get(COMMON, False),
        low=meta.get("low"),
        high=meta.get("high"),
        step=meta.get("step"),
        choices=choices,
        open=bool(names),
    )


def _read(one: FormField, value: Any) -> Any:
    """A value as browsers send it: a number may come as a fraction, and an empty field as None."""
    if value is None or (value == "" and one.control is not Control.TEXT):
        return one.default
    if one.control is Control.FILES:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise SettingsError(f"{one.label} must be a list of files, not {shown(value)}.")
        return value
    if isinstance(value, str) and len(value) > _LONGEST:
        raise SettingsError(f"{one.label} has {len(value)} characters; at most {_LONGEST} are allowed.")
    if one.control is Control.NUMBER and isinstance(one.default, int) and isinstance(value, float):
        return int(value) if value.is_integer() else value
    return value


def _typed(one: FormField, text: str) -> Any:
    """The value that a text means."""
    if one.control is Control.CHECK:
        return text.lower() in ("true", "yes", "on", "1")
    if one.control is not Control.NUMBER:
        return text
    try:
        return int(text) if isinstance(one.default, int) else float(text)
    except ValueError:
        raise SettingsError(f"{one.label} must be a number, not {shown(text)}.") from None
