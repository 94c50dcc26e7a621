"""The ComfyUI nodes outside the network: time and memory of detailer + paste as the clip grows, against the naive way.

    make comfy && .venv/bin/python benchmarks/comfy_nodes.py
    /path/to/its/python benchmarks/comfy_nodes.py --comfyui /path/to/ComfyUI --original /path/to/ComfyUI-Impact-Pack

The second command compares with the nodes of the original pack, on a ComfyUI on which they run (0.3.62).

Frames of 512x512 with one crop of 256x256 that is scaled to 512x512; model and VAE are stubs (formulas), and their time
is subtracted. Time is processor time on one thread, so that a busy machine gives the same figures. The naive way is
what a straightforward node does: it adds frame by frame to tensors, blurs the mask for every frame, and goes through
8-bit pictures. Every row is a separate process. Memory is what the process grows by at its peak, frames in and out
included, over the size of frames in and out; for that run glibc is told to return large blocks when they are freed, so
that memory in use counts and not what the allocator keeps for later.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from processes import alone

ROOT = Path(__file__).parents[1]
MIB = 2**20
SIDE, CROP = 512, (128, 128, 384, 384)
SETTINGS = {
    "guide_size": 512, "guide_size_for": False, "max_size": 768, "seed": 1, "steps": 4, "cfg": 1.0,
    "sampler_name": "euler", "scheduler": "normal", "denoise": 0.5,
}  # fmt: skip
FEATHER = 20
COMFYUI, ORIGINAL = "REDETAIL_INSIDE_COMFY", "REDETAIL_IMPACT_PACK"
"""Environment variables: the ComfyUI that the nodes run in, and the original pack."""


class Network:
    """Seconds inside the stubs."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, with its time recorded."""

        def call(*args: Any, **options: Any) -> Any:
            started = time.process_time()
            try:
                return function(*args, **options)
            finally:
                self.seconds += time.process_time() - started

        return call


def stub_pipe(network: Network) -> tuple[Any, ...]:
    """A BASIC_PIPE of ComfyUI's own objects whose networks are formulas."""
    import toys

    model, vae = toys.model_of(), toys.vae_of()
    model.model.denoised = network.timed(lambda x, sigmas, texts: x * 0.5)
    for name in ("encode", "decode"):
        setattr(vae.first_stage_model, name, network.timed(getattr(vae.first_stage_model, name)))
    return toys.pipe(model, vae)


def clip(frames: int) -> tuple[Any, Any]:
    """Frames (F, 512, 512, 3) and SEGS with one segment."""
    import numpy as np
    import torch

    from redetail.segs import Seg

    mask = np.zeros((256, 256), np.float32)
    mask[64:192, 64:192] = 1
    pixels = torch.rand((frames, SIDE, SIDE, 3), generator=torch.manual_seed(0))
    return pixels, ((SIDE, SIDE), [Seg(None, mask, 0.9, CROP, (192, 192, 320, 320), "face")])


def ours(frames: Any, segs: Any, pipe: Any) -> Any:
    """The product's nodes."""
    from redetail.comfy.nodes.detailer import SEGSDetailerForAnimateDiff
    from redetail.comfy.nodes.paste import SEGSPaste

    detailed, _ = SEGSDetailerForAnimateDiff().doit(
        frames, segs, **SETTINGS, basic_pipe=pipe, noise_mask_feather=FEATHER
    )
    return SEGSPaste.doit(frames, detailed, 5)[0]


def naive(frames: Any, segs: Any, pipe: Any) -> Any:
    """Frame by frame into tensors that grow."""
    import torch

    from redetail.comfy.engine import DifferentialMask
    from redetail.comfy.sampling import ConditionedModel, LatentRequest, initial_noise, rediffused
    from redetail.settings import Settings

    model, _, vae, positive, negative = pipe
    seg = segs[1][0]
    mask = _blurred(torch.from_numpy(seg.cropped_mask), FEATHER)
    x1, y1, x2, y2 = seg.crop_region
    crops = _grown(frame[None, y1:y2, x1:x2] for frame in frames)
    scaled = _grown(_resized(crop[None], 512) for crop in crops)
    latents = _grown(vae.encode(crop[None]) for crop in scaled)
    small = torch.nn.functional.interpolate(mask[None, None], size=latents.shape[-2:], mode="bilinear")
    model = model.clone()
    model.set_model_denoise_mask_function(DifferentialMask())
    settings = Settings(seed=1, steps=4, cfg=1.0, denoise=0.5)
    request = LatentRequest(settings=settings, latents=latents, noise=initial_noise(latents, 1), mask=small)
    decoded = _grown(
        vae.decode(one[None]) for one in rediffused(ConditionedModel(model, positive, negative), None, request)
    )
    enhanced = _grown(_resized(one[None], 256) for one in decoded)
    return _grown(_pasted(frame, crop, seg) for frame, crop in zip(frames, enhanced, strict=True))


def original(frames: Any, segs: Any, pipe: Any) -> Any:
    """The nodes of the pack that ours replace, loaded as ComfyUI loads them."""
    nodes, seg = _original_nodes(os.environ[ORIGINAL])
    given = segs[0], [seg(*segment) for segment in segs[1]]
    detailed, _ = nodes["SEGSDetailerForAnimateDiff"]().doit(
        frames, given, **SETTINGS, basic_pipe=pipe, noise_mask_feather=FEATHER
    )
    return nodes["SEGSPaste"].doit(frames, detailed, 5)[0]


@cache
def _original_nodes(pack: str) -> tuple[dict[str, Any], Any]:
    """Its node classes by id, and its class of segments."""
    import asyncio

    import server
    import utils.install_util  # noqa: F401  # before ComfyUI's nodes put a module of that name in its way

    from tests.comfy.original_nodes import load

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server.PromptServer(loop)
    nodes = load(Path(pack))
    from impact.core import SEG

    return nodes, SEG


def _grown(parts: Any) -> Any:
    import torch

    whole = None
    for part in parts:
        whole = part if whole is None else torch.cat([whole, part])
    return whole


def _resized(picture: Any, side: int) -> Any:
    import numpy as np
    import torch
    from PIL import Image

    image = Image.fromarray((picture[0].numpy() * 255).astype(np.uint8))
    scaled = image.resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(scaled).astype(np.float32) / 255)[None]


def _blurred(mask: Any, feather: int) -> Any:
    """As a plain two-dimensional convolution."""
    import torch

    offsets = torch.arange(-feather, feather + 1)
    line = torch.exp(-0.5 * (offsets / 10.0) ** 2)
    kernel = torch.outer(line, line) / line.sum() ** 2
    padded = torch.nn.functional.pad(mask[None, None], [feather] * 4, mode="reflect")
    return torch.nn.functional.conv2d(padded, kernel[None, None])[0, 0]


def _pasted(frame: Any, crop: Any, seg: Any) -> Any:
    import torch

    x1, y1, x2, y2 = seg.crop_region
    mask = _blurred(torch.from_numpy(seg.cropped_mask), 5)[..., None]
    result = frame.clone()
    result[y1:y2, x1:x2] = (1 - mask) * result[y1:y2, x1:x2] + mask * crop
    return result[None]


def measured(way: str, frames: int) -> dict[str, float]:
    """One run in this process: seconds outside the stubs, and the peak of memory over frames in and out."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "comfy" / "inside")]
    os.environ.setdefault(COMFYUI, str(ROOT / ".comfy"))
    import conftest  # noqa: F401  # prepares ComfyUI for a machine without a GPU
    import torch

    if way == "original":
        import utils.install_util  # noqa: F401  # before a module of that name gets in its way
    torch.set_num_threads(1)
    run = {"ours": ours, "naive": naive, "original": original}[way]
    with torch.inference_mode():
        run(*clip(2), stub_pipe(Network()))  # imports and one-time setup do not count towards the clip
        base = _resident()
        network = Network()
        pixels, segs = clip(frames)
        started = time.process_time()
        result = run(pixels, segs, stub_pipe(network))
        seconds = time.process_time() - started - network.seconds
    both = (pixels.nbytes + result.nbytes) / MIB
    return {"seconds": seconds, "network": network.seconds, "memory": (_peak() - base) / both}


def _resident() -> float:
    """MiB of this process now."""
    return float(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / MIB


def _peak() -> float:
    """MiB of this process at its peak."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the table, and with --json also write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[16, 32, 64, 128, 256])
    parser.add_argument("--naive-up-to", type=int, default=128, help="longest clip that the naive way gets")
    parser.add_argument("--comfyui", type=Path, help="the ComfyUI to run in [.comfy]")
    parser.add_argument(
        "--original", type=Path, help="compare with the nodes of this Impact Pack, not with the naive way"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    asked = parser.parse_args()
    other = "naive" if asked.original is None else "original"
    os.environ.update(
        {name: str(path) for name, path in ((COMFYUI, asked.comfyui), (ORIGINAL, asked.original)) if path}
    )
    rows = []
    print(f"{date.today()}, {platform.machine()}, {multiprocessing.cpu_count()} cores")
    print(f"{'frames':>6} {'ours s':>8} {'ms/frame':>9} {'memory':>7} {other + ' s':>10} {'memory':>7} {'ratio':>6}")
    for frames in asked.frames:
        row = {"frames": frames, "ours": _apart("ours", frames)}
        text = f"{frames:6} {row['ours']['seconds']:8.2f} {1000 * row['ours']['seconds'] / frames:9.1f}"
        text += f" {row['ours']['memory']:7.2f}"
        if frames <= asked.naive_up_to:
            row[other] = _apart(other, frames)
            ratio = row[other]["seconds"] / row["ours"]["seconds"]
            text += f" {row[other]['seconds']:10.2f} {row[other]['memory']:7.2f} {ratio:6.1f}"
        rows.append(row)
        print(text, flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2))


def _apart(way: str, frames: int) -> dict[str, float]:
    """Time and memory, each from a separate process."""
    timed = _in_process(way, frames, {})
    return {**timed, "memory": _in_process(way, frames, {"MALLOC_MMAP_THRESHOLD_": str(MIB)})["memory"]}


def _in_process(way: str, frames: int, environment: dict[str, str]) -> dict[str, float]:
    before = dict(os.environ)
    os.environ.update(environment)  # read when a process starts
    try:
        return alone(measured, way, frames)
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    main()
