"""Speed and memory of a Stable Diffusion 1.5 checkpoint with an AnimateDiff v2 module, both of full size.

    python benchmarks/full_size.py
    python benchmarks/full_size.py --device cuda --dtype float16 --size 512 --steps 20 --repeat 3 --compile

The files are synthetic: random numbers in the published layouts, 2.1 + 0.9 GB in half precision, made in a temporary
folder (or kept in --files). The pictures they produce are meaningless; time and memory are the same as with real
weights. Making, loading and running happen in separate processes, so that the peak is that of the run.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import tempfile
import time
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from processes import alone

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
MIB = 2**20
WIDTHS, TEXT_WIDTH, TEXT_LAYERS, VAE_WIDTHS = (320, 640, 1280, 1280), 768, 12, (128, 256, 512, 512)
# What the profiler calls the kernels of interest; every other operation is "other".
_GROUPS = {
    "attention": ("scaled_dot_product", "flash_attention", "efficient_attention"),
    "convolution": ("aten::convolution",),
    "matrices": ("aten::linear", "aten::addmm", "aten::mm", "aten::bmm", "aten::matmul"),
}


def make_files(folder: str, dtype: str) -> dict[str, int]:
    """Write sd.safetensors and mm.safetensors where they are missing; their sizes in bytes."""
    from tests.engines import originals as made

    unet, vae = made.unet_shapes(WIDTHS, TEXT_WIDTH), made.vae_shapes(VAE_WIDTHS)
    shapes = {
        "sd.safetensors": unet | vae | made.clip_shapes(TEXT_WIDTH, TEXT_LAYERS),
        "mm.safetensors": made.motion_shapes("v2", WIDTHS),
    }
    for name, each in shapes.items():
        if not (Path(folder) / name).exists():
            tensors = {key: tensor.contiguous() for key, tensor in made.filled(each, 1, getattr(torch, dtype)).items()}
            made.save(Path(folder) / name, tensors)
    return {name: (Path(folder) / name).stat().st_size for name in shapes}


def measure(folder: str, options: argparse.Namespace) -> dict[str, Any]:
    """Load the files as a user would, and run the engine."""
    from redetail.engines import enhance_arrays, load_engine
    from redetail.engines.memory import Memory
    from redetail.engines.spec import ModelSpec
    from redetail.settings import Settings

    spec = ModelSpec(checkpoint=Path(folder) / "sd.safetensors", motion_module=Path(folder) / "mm.safetensors")
    bare, started = peak(options.device), time.perf_counter()
    engine = load_engine(
        spec, device=options.device, dtype=options.dtype, memory=Memory(compile=options.compile or None)
    )
    figures: dict[str, Any] = {"imports_mib": bare, "load_s": time.perf_counter() - started}
    figures["loaded_mib"] = peak(options.device)
    side = options.size
    crops = np.random.default_rng(1).random((options.frames, side, side, 3), dtype=np.float32)
    settings = Settings(
        prompt="a face", steps=options.steps, denoise=0.5, cfg=options.cfg, context_length=options.frames
    )
    seconds = []
    for number in range(options.repeat):
        last = number == options.repeat - 1
        lap = time.perf_counter()
        with _profiler(options) if last and options.profile else nullcontext() as profile:
            result = enhance_arrays(engine, crops, np.ones((1, side, side), np.float32), settings)
        seconds.append(time.perf_counter() - lap)
        assert np.isfinite(result).all()
    figures |= {"run_s": seconds, "frames_per_s": options.frames / min(seconds), "peak_mib": peak(options.device)}
    if options.profile:
        figures |= {"share": _shares(profile, options.device), "matrix_tflops": _matrix_rate(options)}
    return figures


def _profiler(options: argparse.Namespace) -> Any:
    from torch.profiler import ProfilerActivity, profile

    return profile(activities=[ProfilerActivity.CUDA if options.device == "cuda" else ProfilerActivity.CPU])


def _shares(profile: Any, device: str) -> dict[str, float]:
    """Share of the time of all operations by kind; matrices inside attention count as attention."""
    kind = "device" if device == "cuda" else "cpu"
    events = profile.key_averages()
    whole = sum(getattr(event, f"self_{kind}_time_total") for event in events)
    times = {
        group: sum(getattr(event, f"self_{kind}_time_total") for event in events if _in_group(event.key, group))
        for group in _GROUPS
    }
    return {group: round(spent / whole, 3) for group, spent in times.items()}


def _in_group(name: str, group: str) -> bool:
    spelled = name.lower()
    kernels = {"attention": ("fmha", "flash"), "convolution": ("conv", "mkldnn"), "matrices": ("gemm",)}[group]
    return any(part in spelled for part in (*_GROUPS[group], *kernels))


def _matrix_rate(options: argparse.Namespace) -> float:
    """10^12 operations a second of a large matrix product in the precision of the run."""
    side = 8192 if options.device == "cuda" else 2048
    dtype = getattr(torch, options.dtype or "float32")
    matrix, best = torch.randn(side, side, device=options.device, dtype=dtype), float("inf")
    for _ in range(5):
        started = time.perf_counter()
        float((matrix @ matrix)[0, 0])
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best / 1e12


def peak(device: str) -> float:
    """Peak memory so far in MiB: of the card if there is one, else of this process with the files it maps."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / MIB
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / MIB if sys.platform == "darwin" else used / 1024


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", help="precision of the networks; float32 on the CPU")
    parser.add_argument("--file-dtype", default="float16", help="precision of the files")
    parser.add_argument("--files", help="folder in which the files are kept")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--cfg", type=float, default=7.0)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--profile", action="store_true", help="show where the time of the last repetition goes")
    return parser.parse_args(arguments)


def main() -> None:
    """Make, measure, print."""
    options = options_of()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.files or temporary
        Path(folder).mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        sizes = alone(make_files, folder, options.file_dtype)
        print(f"files: {sizes} in {time.perf_counter() - started:.0f} s", file=sys.stderr)
        figures = alone(measure, folder, options)
    machine = torch.cuda.get_device_name() if options.device == "cuda" else platform.processor() or platform.machine()
    about = {"date": date.today().isoformat(), "machine": machine, "threads": torch.get_num_threads()}
    asked = {name: value for name, value in vars(options).items() if name != "files"}
    print(json.dumps({**about, **asked, **figures}, indent=2))


if __name__ == "__main__":
    main()
