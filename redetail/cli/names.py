"""The names that options take, for help and for completion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from redetail.cli.display import short
from redetail.engines.architectures import all_presets
from redetail.settings import display_name, settings_by_group
from redetail.video.options import CODECS
from redetail.video.options import PRESETS as ENCODE_SPEEDS


def known_names(option: str) -> tuple[str, ...]:
    """The names that an option takes, by its name in the parsed arguments; empty if it takes none."""
    return tuple(_NAMES[option]()) if option in _NAMES else _choices().get(option, ())


def described_names(option: str) -> tuple[str, ...]:
    """The names that an option takes; presets are followed by what they stand for."""
    if option != "preset":
        return known_names(option)
    return tuple(f"{name} ({', '.join(_preset_values(values))})" for name, values in all_presets().items())


def _preset_values(values: Mapping[str, object]) -> Iterator[str]:
    """The values of a preset: sampler, scheduler, steps and cfg without their names, others with them."""
    usual = ("sampler", "scheduler", "steps", "cfg")
    yield from (short(values[name]) for name in usual if name in values)
    yield from (f"{display_name(name)} {short(value)}" for name, value in values.items() if name not in usual)


def _choices() -> dict[str, tuple[str, ...]]:
    items = (item for group in settings_by_group().values() for item in group)
    return {item.name: item.metadata["choices"] for item in items if "choices" in item.metadata}


def _detectors() -> Sequence[str]:
    from redetail.detection.registry import detector_names

    return detector_names()


def _samplers() -> Sequence[str]:
    from redetail.sampling import sampler_names

    return sampler_names()


def _schedulers() -> Sequence[str]:
    from redetail.sampling import scheduler_names

    return scheduler_names()


def _hints() -> Sequence[str]:
    from redetail.imaging.hints import hint_names

    return hint_names()


def _layouts() -> Sequence[str]:
    from redetail.job.writing import COMPARE_LAYOUTS

    return COMPARE_LAYOUTS


def _precisions() -> Sequence[str]:
    from redetail.engines.device import DTYPES

    return tuple(DTYPES)


def _attentions() -> Sequence[str]:
    from redetail.engines.memory import ATTENTIONS

    return ATTENTIONS


_NAMES: Mapping[str, Callable[[], Sequence[str]]] = MappingProxyType(
    {
        "detect": _detectors,
        "sampler": _samplers,
        "scheduler": _schedulers,
        "control": _hints,
        "preset": lambda: tuple(all_presets()),
        "codec": lambda: CODECS,
        "encode_speed": lambda: ENCODE_SPEEDS,
        **dict.fromkeys(("compare_layout", "layout"), _layouts),
        "attention": _attentions,
        **dict.fromkeys(("dtype", "vae_dtype", "text_dtype"), _precisions),
    }
)
"""What is imported only when it is asked for needs PyTorch, which --help can do without."""
