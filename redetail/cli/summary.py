"""Results in words, which a command prints to standard output when it has finished."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from redetail.cli.display import title
from redetail.engines.architectures import all_presets
from redetail.pipeline.estimate import Estimate
from redetail.pipeline.measure import RegionMeasures, Untouched
from redetail.pipeline.plan import CropPlan, Plan
from redetail.pipeline.remarks import remarks_of
from redetail.pipeline.report import Report
from redetail.pipeline.stopwatch import PassTime
from redetail.pipeline.workspace import readable
from redetail.progress import duration
from redetail.settings import display_name

_SWITCHES = ("channels_last", "compile", "offload", "block_offload", "fp8_weights")


def summary(report: Report, source: str, outputs: Mapping[str, str | None]) -> str:
    """What was done, as lines; ``outputs`` are the files by their role ("output", ...)."""
    return "\n".join(_summary(report, source, outputs)) + "\n"


def plan_summary(plan: Plan, source: str) -> str:
    """What would be done, as lines."""
    lines = [f"{source}: {_count(len(plan), 'frame')} of {plan.size}, {_count(len(plan.crops), 'subject')}"]
    lines += [f"  {crop.track}.{_subject(crop)[1:]}" for crop in plan.crops]
    lines += [*_left_out(plan), *_background(plan)]
    return "\n".join(lines) + "\n"


def settings_summary(settings: Mapping[str, Any]) -> str:
    """All settings of a run, the engine's defaults included, as they are typed."""
    typed = (_typed(f"--{display_name(name)}", value) for name, value in settings.items() if value not in ("", []))
    return f"  settings: {' '.join(typed)}\n"


def noise_summary(plan: Plan) -> str:
    """What ``denoise`` amounts to, as a line, for models whose schedule has a shift."""
    level = plan.noise_level
    return "" if level is None else f"  starts at noise level {level:.2f} (0: the crop, 1: pure noise)\n"


def preset_summary(requested: Mapping[str, Any]) -> str:
    """What the preset among the requested settings chose, as a line; nothing if none was asked for."""
    name = requested.get("preset")
    if name is None:
        return ""
    chosen = {key: value for key, value in all_presets()[name].items() if requested.get(key) is None}
    typed = " ".join(_typed(f"--{display_name(key)}", value) for key, value in chosen.items())
    return f"  preset {name}: {typed or 'all its settings were overridden'}\n"


def estimate_lines(estimate: Estimate) -> str:
    """What a run would take, as lines."""
    memory, space, seconds = readable(estimate.memory), readable(estimate.work_space), estimate.seconds
    time = "" if seconds is None else f"  detailing: about {duration(seconds)}\n"
    return f"  memory: up to about {memory}\n  work space: up to {space}\n{time}"


def estimate_summary(estimate: Estimate) -> str:
    """What a run would take, as a sentence."""
    seconds = estimate.seconds
    time = "" if seconds is None else f"; detailing takes about {duration(seconds)}"
    return (
        f"The run takes up to about {readable(estimate.memory)} of memory and {readable(estimate.work_space)} of work "
        f"space{time}."
    )


def placement_summary(placement: Mapping[str, Any]) -> str:
    """Where and how the engine would compute, as a line."""
    if not placement:
        return ""
    switches = [name.replace("_", " ") for name in _SWITCHES if placement.get(name)]
    parts = [f"{placement['device']} in {placement['dtype']}", f"attention {placement['attention']}", *switches]
    parts += [f"VAE in {placement['vae_dtype']}"] if placement.get("vae_dtype") else []
    parts += [f"VAE in tiles of {placement['vae_tile']}"] if placement.get("vae_tile") else []
    parts += [f"at most {placement['window']} frames in a window"] if placement.get("window") else []
    return f"  computes on {', '.join(parts)}\n{_device_memory(placement.get('memory') or {})}"


def _device_memory(memory: Mapping[str, int]) -> str:
    """How much of the device's memory a run would take, as a line."""
    if not memory:
        return ""
    named = ", ".join(f"{name} {readable(size)}" for name, size in memory.items() if name not in ("needed", "device"))
    needed, device = memory["needed"], memory["device"]
    more = ", which is not enough" if needed > device else ""
    has = f"the device has {readable(device)}{more}"
    return f"  memory on the device: {named}; up to {readable(needed)} at once; {has}\n"


def _typed(flag: str, value: object) -> str:
    if isinstance(value, bool):
        return flag if value else f"--no-{flag[2:]}"
    if isinstance(value, list):
        return " ".join(_typed(flag, one) for one in value)
    return f"{flag} {value:g}" if isinstance(value, float) else f"{flag} {shlex.quote(str(value))}"


def _summary(report: Report, source: str, outputs: Mapping[str, str | None]) -> Iterator[str]:
    plan, output = report.plan, outputs["output"]
    if plan.crops:
        yield f"{output}: {_count(len(plan.crops), 'subject')} detailed in {_count(len(plan), 'frame')} of {source}"
    else:
        alike = "a copy" if report.size == plan.size else "an enlarged copy"
        detailed = "no subject" if plan.background else "nothing"
        yield f"{output}: {alike} of {source}; {detailed} was detailed"
    if report.size != plan.size:
        yield f"  enlarged from {plan.size} to {report.size}"
    for crop, measured in zip(plan.crops, report.regions, strict=True):
        yield _subject(crop)
        yield f"    {_measured(measured)}"
        remarks = remarks_of(crop, measured)
        if remarks:
            yield f"    {'; '.join(remarks)}"
    yield from (*_left_out(plan), *_background(plan))
    yield f"  outside the pasted areas {_untouched(report.untouched)}"
    yield f"  time: {_times(report.passes, len(plan))}"
    yield from (f"  {name}: {path}" for name, path in outputs.items() if path and name != "output")


def _left_out(plan: Plan) -> list[str]:
    return [f"  left out: {one.number}. {one.label}: {one.reason}" for one in plan.left_out]


def _background(plan: Plan) -> list[str]:
    """What the engine enlarges outside the subjects."""
    if not plan.background:
        return []
    tile = plan.background[0]
    tiles = _count(len(plan.background), "tile")
    return [f"  background: {tiles} of {tile.region.size} processed at {tile.working}"]


def _subject(crop: CropPlan) -> str:
    region = crop.region
    return (
        f"  {region.label} (confidence {region.confidence:.2f}): frames {region.start} to {region.stop - 1}, "
        f"crop {region.size} processed at {crop.working}"
    )


def _measured(measured: RegionMeasures) -> str:
    """Change and flicker of one subject; what could not be measured is left out."""
    parts = []
    if measured.mean_change is not None:
        parts.append(f"changed by {measured.mean_change:.1f} out of 255 on average")
    if measured.flicker.ratio is not None:
        parts.append(f"flicker {measured.flicker.ratio:.2f} times that of the source")
    return ", ".join(parts) or "too few frames to measure"


def _untouched(untouched: Untouched) -> str:
    changed = untouched.changed_pixels
    before = f"{_count(changed, 'pixel')} changed before encoding" if changed else "no pixel changed before encoding"
    written = untouched.as_written
    if written is None:
        return before
    if not written.largest:
        return f"{before}; the encoder changed none"
    loss = f"{written.mean:.1f} out of 255 on average and {written.largest:.0f} at most"
    return f"{before}; the encoder changed pixels by {loss}"


def _times(passes: Mapping[str, PassTime], frames: int) -> str:
    total = sum(time.seconds for time in passes.values())
    each = ", ".join(f"{title(name).lower()} {duration(time.seconds)}" for name, time in passes.items())
    return f"{duration(total)}, {frames / total:.1f} frames per second ({each})" if total else each


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
