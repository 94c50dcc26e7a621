"""Settings as they are requested: only those that were given, for the job and for individual subjects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from redetail.documents import shown
from redetail.engines.architectures import all_presets
from redetail.errors import SettingsError
from redetail.files import expanded
from redetail.settings import Settings, check_given, display_name, resolve, with_preset

SHARED = ("crop_factor",)
"""Settings that all subjects share, because crop windows are chosen while the subjects are being found."""


class RequestedSettings(Mapping[str, Any]):
    """Requested settings by name, including ``preset``; immutable, and without those that are None.

    Only :meth:`check` checks names and values, since a value may be overridden before it is used.
    """

    NAMES = ("preset", *(item.name for item in fields(Settings)))

    def __init__(self, given: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._given = {name: _frozen(value) for name, value in given.items() if value is not None}

    def __getitem__(self, name: str) -> Any:
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def __hash__(self) -> int:
        return hash(frozenset(self._given.items()))

    def __repr__(self) -> str:
        return f"RequestedSettings({self._given})"

    def check(self) -> None:
        """Raise :class:`~redetail.errors.SettingsError` for a name that does not exist or a value out of range."""
        check_given(self, all_presets())

    def overlay(self, typed: Mapping[str, Any]) -> RequestedSettings:
        """These settings, overridden by the settings ``typed``; a preset among those also overrides the settings that
        it stands for."""
        kept = self.without(_named_by(typed)) if "preset" in typed else self
        return RequestedSettings({**kept, **typed})

    def without(self, names: frozenset[str]) -> RequestedSettings:
        """These settings without the named ones, including those that a preset sets."""
        if not names:
            return self
        expanded = with_preset(self, all_presets()) if "preset" in self else self
        if not names & {*expanded, *self}:
            return self
        return RequestedSettings({name: value for name, value in expanded.items() if name not in names})


def _named_by(typed: Mapping[str, Any]) -> frozenset[str]:
    """The names of the typed settings, and of the settings that a typed preset sets."""
    return frozenset(with_preset(typed, all_presets())) | (typed.keys() & {"preset"})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Subject:
    """What differs for one subject.

    The subject is named by ``track``, its number in the order of ``redetail detect``, from 1, or its label ("face 2"),
    or by ``who``, a picture of the person. ``skip``: leave the subject as it is; ``settings``: the settings that
    differ, which can include a preset. Raises :class:`~redetail.errors.SettingsError` for a setting that all subjects
    share.
    """

    track: int | str | None = None
    skip: bool = False
    settings: Mapping[str, Any] = field(default_factory=RequestedSettings)
    who: Path | None = None

    def __post_init__(self) -> None:
        if (self.track is None) == (self.who is None):
            raise SettingsError(
                'A subject needs either "track" (a number or a label) or "who" (a picture of a person).'
            )
        if self.who is not None:
            object.__setattr__(self, "who", expanded(self.who))
        if not isinstance(self.settings, Mapping):
            raise SettingsError(f"The settings of subject {self} are {shown(self.settings)}; give a dict.")
        object.__setattr__(self, "settings", RequestedSettings(self.settings))
        for name in SHARED:
            if name in self.settings:
                raise SettingsError(
                    f"Subject {self} sets {display_name(name)}, but all subjects share one value of it; set it outside "
                    "the subject."
                )

    def __str__(self) -> str:
        return str(self.track if self.who is None else self.who)

    @property
    def files(self) -> tuple[Path, ...]:
        """The picture."""
        return () if self.who is None else (self.who,)

    def check(self) -> None:
        """Raise :class:`~redetail.errors.SettingsError` for a setting that no engine has."""
        try:
            check_given(self.settings, all_presets())
        except SettingsError as error:
            raise SettingsError(f"Subject {self}: {error}") from error

    def over(self, base: Settings) -> Settings:
        """The complete settings of this subject; raises :class:`~redetail.errors.SettingsError` as Settings does."""
        return resolve(self.settings, base.as_dict(), all_presets())

    def under(self, typed: Mapping[str, Any]) -> Self:
        """This subject after settings were typed for all subjects: the typed settings override its own."""
        own = RequestedSettings(self.settings).without(_named_by(typed))
        return replace(self, settings=own)
