"""Speed and memory of a whole run, against the naive algorithm on the same engine, in one run.

    make bench
    python benchmarks/bench.py CLIP.mp4 --repeat 8

Each algorithm runs in a separate process, so that peak memory is measured for each; the clip is repeated to the
requested length. Only the ratios matter: both algorithms run on the same machine, one after the other.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from processes import alone

CLIP = Path(__file__).parents[1] / "tests" / "data" / "clips" / "guitarist.mp4"
MIB = 2**20


@dataclass
class NetworkTimer:
    """Seconds inside the network, measured around its reading of the crops and its forward pass."""

    seconds: float = 0.0
    calls: int = 0
    _begun: list[float] = field(default_factory=list)

    def attach(self) -> None:
        from redetail.engines.restoration.network import RestorationUNet

        for name in ("look", "look_at_draft", "forward"):
            setattr(RestorationUNet, name, self._timed(getattr(RestorationUNet, name)))

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            result = function(*args, **options)
            self.seconds += time.perf_counter() - started
            self.calls += function.__name__ == "forward"
            return result

        return timed


def ours(clip: str, work: str) -> dict[str, Any]:
    """The product, from file to file."""
    import redetail

    timer = NetworkTimer()
    timer.attach()
    started = time.perf_counter()
    engine = redetail.load_engine(device="cpu")
    loaded = _peak()
    result = redetail.detail(clip, Path(work) / "ours.mp4", engine=engine)
    seconds = time.perf_counter() - started
    passes = {name: each.seconds for name, each in result.report.passes.items()}
    return _figures(passes, len(result.report.plan), seconds, timer, loaded)


def naive(clip: str, work: str) -> dict[str, Any]:
    """The same detector, tracker, engine and settings; everything around the engine done naively."""
    from naive import Naive

    import redetail
    from redetail.settings import resolve
    from redetail.video import open_sink, open_source

    timer = NetworkTimer()
    timer.attach()
    started = time.perf_counter()
    engine = redetail.load_engine(device="cpu")
    loaded = _peak()
    lap = time.perf_counter()
    plan = redetail.plan(clip, engine=engine)
    passes = {"detect": time.perf_counter() - lap}
    lap = time.perf_counter()
    source = open_source(clip)
    decoded = list(source.frames())
    frames = np.stack([frame.pixels for frame in decoded]).astype(np.float32) / 255
    passes["decode"] = time.perf_counter() - lap
    run = Naive(engine, resolve({}, engine.capabilities.defaults))
    frames = run.run(frames, list(plan.crops))
    passes.update(run.seconds)
    lap = time.perf_counter()
    with open_sink(Path(work) / "naive.mp4", source) as sink:
        for frame, pixels in zip(decoded, frames, strict=True):
            sink.write(type(frame)(frame.index, frame.pts, np.rint(pixels * 255).astype(np.uint8), frame.duration))
    passes["encode"] = time.perf_counter() - lap
    return _figures(passes, len(decoded), time.perf_counter() - started, timer, loaded)


def repeated(clip: Path, times: int, target: Path) -> None:
    """The clip several times over, forwards and backwards, so that it has no cut."""
    from redetail.video import Frame, open_sink, open_source

    source = open_source(clip)
    frames = [frame.pixels for frame in source.frames()]
    step = round(1 / (source.info.rate * source.info.time_base))
    index = 0
    with open_sink(target, source) as sink:
        for number in range(times):
            for pixels in frames if number % 2 == 0 else frames[::-1]:
                sink.write(Frame(index, index * step, pixels, step))
                index += 1


def _figures(
    passes: dict[str, float], frames: int, seconds: float, timer: NetworkTimer, loaded: float
) -> dict[str, Any]:
    return {
        "frames": frames,
        "seconds": seconds,
        "passes": passes,
        "network_seconds": timer.seconds,
        "network_calls": timer.calls,
        "loaded_mib": loaded,
        "peak_mib": _peak(),
    }


def _peak() -> float:
    """Peak resident memory of this process so far, in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / MIB if sys.platform == "darwin" else used / 1024


def table(name: str, figures: dict[str, Any]) -> str:
    """The figures of one algorithm in words."""
    frames, network = figures["frames"], figures["network_seconds"]
    lines = [f"{name}: {figures['seconds']:.1f} s, {frames / figures['seconds']:.2f} frames a second"]
    for label, seconds in figures["passes"].items():
        lines.append(f"  {label:<8} {seconds:8.2f} s {frames / max(seconds, 1e-9):9.2f} frames a second")
    share = network / figures["passes"]["detail"]
    lines.append(
        f"  inside the network {network:.2f} s: {share:.0%} of detail, {network / figures['seconds']:.0%} of all"
    )
    lines.append(f"  peak memory {figures['peak_mib']:.0f} MiB, {figures['loaded_mib']:.0f} MiB of it before the clip")
    return "\n".join(lines)


def comparison(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Ours against the naive algorithm."""
    outside = [
        figures["passes"].get("crop", 0.0)
        + figures["passes"].get("paste", 0.0)
        + figures["passes"]["detail"]
        - figures["network_seconds"]
        for figures in (one, other)
    ]
    grown = [figures["peak_mib"] - figures["loaded_mib"] for figures in (one, other)]
    return (
        f"redetail / naive: time {one['seconds'] / other['seconds']:.2f}, "
        f"memory for the clip {grown[0] / max(grown[1], 1):.2f} ({grown[0]:.0f} against {grown[1]:.0f} MiB), "
        f"crop and detail outside the network {outside[0]:.2f} s against {outside[1]:.2f} s"
    )


def main() -> None:
    """Run both algorithms and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", nargs="?", type=Path, default=CLIP)
    parser.add_argument("--repeat", type=int, default=2, help="how often the clip is repeated [2]")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        clip = Path(work) / "clip.mp4"
        repeated(options.clip, options.repeat, clip)
        results = {"redetail": alone(ours, str(clip), work), "naive": alone(naive, str(clip), work)}
    machine = f"{platform.machine()}, {multiprocessing.cpu_count()} cores"
    print(f"{options.clip.name} x {options.repeat}, {machine}, {date.today()}")
    for name, figures in results.items():
        print(table(name, figures))
    print(comparison(results["redetail"], results["naive"]))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
