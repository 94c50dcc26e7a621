"""Time and peak memory of Wan's transformer and VAE at full size, on files of random numbers.

    python benchmarks/wan_full_size.py
    python benchmarks/wan_full_size.py --device cuda --model 14B --file fp8 --size 512 --frames 49 --steps 10

Files in the layout of diffusers are made in a temporary folder (or kept in --files) and loaded as user files are, in a
separate process. The text encoder is left out: UMT5-XXL has four times the parameters of the 1.3B transformer and runs
only once for a prompt. The transformer reads seeded states of its shape instead, or those of --states: a .safetensors
file with a tensor ``states`` of (1, 512, 4096). The pictures are meaningless.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from full_size import peak
from processes import alone

WIDTHS = {"1.3B": (12, 8960, 30), "14B": (40, 13824, 40)}
"""Heads, width of the feed-forward layers and blocks, as published."""
TEXT_WIDTH = 4096


def make_files(folder: str, options: argparse.Namespace) -> dict[str, int]:
    """Write transformer and VAE where they are missing; their sizes in bytes."""
    from redetail.engines.state_dict import from_config, skeleton

    heads, ffn, blocks = WIDTHS[options.model]
    transformer = {
        "num_attention_heads": heads, "attention_head_dim": 128, "ffn_dim": ffn, "num_layers": blocks,
        "text_dim": TEXT_WIDTH, "freq_dim": 256, "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads",
    }  # fmt: skip
    wanted: dict[str, tuple[str, dict[str, Any], str]] = {
        f"transformer-{options.model}-{options.file}.safetensors": ("WanTransformer3DModel", transformer, options.file),
        "vae.safetensors": ("AutoencoderKLWan", {}, "float32"),
    }
    for name, (kind, config, stored) in wanted.items():
        path = Path(folder) / name
        if not path.exists():
            network = skeleton(lambda kind=kind, config=config: from_config(kind, config))
            _write(path, {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}, stored)
    return {name: (Path(folder) / name).stat().st_size for name in wanted}


def _write(path: Path, shapes: dict[str, tuple[int, ...]], stored: str) -> None:
    """Matrices of deviation 1 / sqrt(inputs), so that signals keep their size; the rest is small, gains are near 1."""
    from safetensors.torch import save_file

    generator, tensors = torch.Generator().manual_seed(1), dict[str, torch.Tensor]()
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator)
        values *= 0.02 if len(shape) < 2 else float(np.prod(shape[1:])) ** -0.5
        if "norm" in name and name.endswith(("weight", "gamma")):
            values += 1
        if stored == "fp8" and len(shape) == 2 and "blocks." in name:
            scale = values.abs().max() / torch.finfo(torch.float8_e4m3fn).max
            tensors[name] = (values / scale).to(torch.float8_e4m3fn)
            tensors[name.removesuffix("weight") + "scale_weight"] = scale
        else:
            tensors[name] = values.to(torch.bfloat16 if stored == "fp8" else getattr(torch, stored))
    if stored == "fp8":
        tensors["scaled_fp8"] = torch.empty(0, dtype=torch.float8_e4m3fn)
    save_file(tensors, path)


class GivenStates:
    """Given text states, whatever the prompt; see :class:`redetail.engines.wan.text.WanText`."""

    encoder = None

    def __init__(self, path: str | None) -> None:
        from safetensors.torch import load_file

        generator = torch.Generator().manual_seed(2)
        seeded = torch.randn(1, 512, TEXT_WIDTH, generator=generator) * 0.1
        self._states = seeded if path is None else load_file(path)["states"]

    def check(self, settings: Any) -> None:
        """Accepts every prompt."""

    def __call__(self, prompt: str) -> torch.Tensor:
        return self._states


def measure(folder: str, options: argparse.Namespace) -> dict[str, Any]:
    """Load the parts as the engine does, and detail one crop."""
    import redetail
    from redetail.engines import enhance_arrays

    if options.threads:
        torch.set_num_threads(options.threads)
    spent: dict[str, float] = {}
    figures: dict[str, Any] = {"imports_mib": round(peak(options.device))}
    with lap(spent, "load_s"):
        engine = loaded(Path(folder), options)
    figures["loaded_mib"] = round(peak(options.device))
    for owner, name in ((engine.codec, "encode"), (engine, "_sampled"), (engine.codec, "decode")):
        setattr(owner, name, timed(getattr(owner, name), spent, f"{name.strip('_')}_s", figures, options.device))
    crops = np.random.default_rng(1).random((options.frames, options.size, options.size, 3), dtype=np.float32)
    settings = redetail.Settings(
        steps=options.steps, denoise=0.5, cfg=options.cfg, shift=1.0, sampler="euler", scheduler="simple"
    )
    with lap(spent, "run_s"):
        result = enhance_arrays(engine, crops, np.ones((1, options.size, options.size), np.float32), settings)
    assert np.isfinite(result).all()
    frames = options.frames / spent["run_s"]
    return figures | {name: round(seconds, 1) for name, seconds in spent.items()} | {"frames_per_s": round(frames, 3)}


def loaded(folder: Path, options: argparse.Namespace) -> Any:
    """The engine that the program makes from such files, except for the text encoder."""
    from redetail.engines.base import Capabilities
    from redetail.engines.device import place
    from redetail.engines.latent import LatentEngine
    from redetail.engines.offload import OffloadedCodec, offload_blocks
    from redetail.engines.wan.codec import WanCodec
    from redetail.engines.wan.network import Experts, WanModel
    from redetail.engines.wan.parts import open_transformer, open_vae
    from redetail.geometry.latent_grid import WAN
    from redetail.sampling import sampler_names
    from redetail.sampling.schedulers import flow_scheduler_names

    placement = place(options.device, options.dtype)
    device = torch.device("cpu") if options.block_offload else placement.device
    transformer = open_transformer(folder / f"transformer-{options.model}-{options.file}.safetensors").load(
        replace(placement, device=device)
    )
    if options.block_offload:
        offload_blocks(transformer, transformer.blocks, placement.device)
    vae = open_vae(folder / "vae.safetensors").load(replace(placement, dtype=torch.float32))
    codec: Any = WanCodec(vae, WAN)
    if options.offload:
        codec = OffloadedCodec(codec, vae.to("cpu"), placement.device)
    names = {"samplers": sampler_names(), "schedulers": flow_scheduler_names()}
    capabilities = Capabilities(name="wan", size_multiple=16, context_length=81, uses_shift=True, has_vae=True, **names)
    model = WanModel(Experts([transformer], [()]), GivenStates(options.states), 1.0)  # type: ignore[arg-type]
    return LatentEngine(codec, model, capabilities, placement)


@contextmanager
def lap(spent: dict[str, float], name: str) -> Iterator[None]:
    """Record the seconds that the context lasts, and those of all processors."""
    started, used = time.perf_counter(), time.process_time()
    yield
    spent[name], spent[f"{name.removesuffix('_s')}_cpu_s"] = time.perf_counter() - started, time.process_time() - used


def timed(work: Callable[..., Any], spent: dict[str, float], name: str, figures: dict[str, Any], device: str) -> Any:
    """The same work, with its seconds recorded, and the peak after it."""

    def run(*given: Any) -> Any:
        with lap(spent, name):
            made = work(*given)
        figures[f"{name.removesuffix('_s')}_peak_mib"] = round(peak(device))
        return made

    return run


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=WIDTHS, default="1.3B")
    parser.add_argument("--file", choices=("bfloat16", "float16", "fp8"), default="bfloat16", help="what it is kept in")
    parser.add_argument("--files", help="folder in which the files are kept")
    parser.add_argument("--states", help="states of a prompt, .safetensors")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bfloat16", help="precision of the transformer; the VAE computes in float32")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--cfg", type=float, default=1.0)
    parser.add_argument("--offload", action="store_true", default=None)
    parser.add_argument("--block-offload", action="store_true", default=None)
    return parser.parse_args(arguments)


def main() -> None:
    """Make, measure, print."""
    options = options_of()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.files or temporary
        Path(folder).mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        sizes = alone(make_files, folder, options)
        print(f"files: {sizes} in {time.perf_counter() - started:.0f} s", file=sys.stderr)
        figures = alone(measure, folder, options)
    machine = torch.cuda.get_device_name() if options.device == "cuda" else platform.processor() or platform.machine()
    about = {"date": date.today().isoformat(), "machine": machine, "torch": torch.__version__}
    print(json.dumps({**about, **vars(options), **figures}, indent=2))


if __name__ == "__main__":
    main()
