"""Calls of the nodes around segments with random segments, the same in every process, and digests of what they give."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from redetail.comfy.registry import all_nodes
from redetail.segs import Seg
from tests.comfy.original_nodes import packed, unpacked

HEADER = (48, 72)
ROUNDS = 24
NODES = {node.ID: node for node in all_nodes()}
LABELS = ("face", "hand", "left_eye", "right_eye", "eyes", "pupils", "left_pupil", "person", "")
Inputs = dict[str, Any]
Draw = np.random.Generator


def seg(draw: Draw, *, frames: int | None = None, picture: bool | None = None, tensor: bool = False) -> Any:
    """A segment with a hard or a soft mask, of whatever place; ``frames`` masks, or one for all."""
    x1, y1 = int(draw.integers(0, 50)), int(draw.integers(0, 30))
    w, h = int(draw.integers(8, HEADER[1] - x1 + 1)), int(draw.integers(8, HEADER[0] - y1 + 1))
    left, top = x1 + int(draw.integers(0, w // 2)), y1 + int(draw.integers(0, h // 2))
    right, bottom = int(draw.integers(left + 1, x1 + w + 1)), int(draw.integers(top + 1, y1 + h + 1))
    shape = (h, w) if frames is None else (frames, h, w)
    soft = draw.random(shape, dtype=np.float32)
    mask = soft if draw.random() < 0.5 else (soft > 0.6).astype(np.float32)
    carried = draw.random() < 0.3 if picture is None else picture
    image = draw.random((1, h, w, 3), dtype=np.float32) if carried else None
    fields = (
        image, torch.from_numpy(mask) if tensor else mask, float(np.round(draw.random(), 2)), (x1, y1, x1 + w, y1 + h),
        (left, top, right, bottom), str(draw.choice(LABELS)), "net" if draw.random() < 0.5 else None,
    )  # fmt: skip
    return "SEG", fields


def segs(draw: Draw, least: int = 0, most: int = 6, **how: Any) -> Any:
    return "SEGS", HEADER, [seg(draw, **how) for _ in range(int(draw.integers(least, most + 1)))]


def picture(draw: Draw, scale: int = 1) -> Any:
    return torch.from_numpy(draw.random((2, HEADER[0] * scale, HEADER[1] * scale, 3), dtype=np.float32))


def mask(draw: Draw, count: int = 1) -> Any:
    soft = draw.random((count, *HEADER), dtype=np.float32)
    return torch.from_numpy(soft if draw.random() < 0.5 else (soft > 0.5).astype(np.float32))


def chosen(draw: Draw, values: tuple[Any, ...]) -> Any:
    return values[int(draw.integers(len(values)))]


def labels(draw: Draw) -> str:
    return ", ".join(chosen(draw, (*LABELS, "all")) for _ in range(int(draw.integers(0, 4))))


def picks(draw: Draw) -> str:
    return ", ".join(str(chosen(draw, (1, 2, 3, 4, 5, 9, 0, -1, "x"))) for _ in range(int(draw.integers(0, 4))))


def tiling(draw: Draw) -> Inputs:
    size = (1, int(draw.integers(64, 400)), int(draw.integers(64, 400)), 3)
    filters = {name: segs(draw, 1) for name in ("filter_in_segs_opt", "filter_out_segs_opt") if draw.random() < 0.4}
    return {
        "images": torch.zeros(size), "bbox_size": int(draw.integers(8, 40)) * 8, "mask_irregularity": 0,
        "crop_factor": float(chosen(draw, (1.0, 1.5, 3.0))), "min_overlap": int(draw.integers(0, 200)),
        "filter_segs_dilation": int(draw.integers(-20, 21)), "irregular_mask_mode": "Reuse fast", **filters,
    }  # fmt: skip


FILTERED = ("ImpactGaussianBlurMaskInSEGS", "ImpactSEGSPicker")
"""Nodes that blur or scale masks, which the original does in single precision: equal to its rounding only."""
RANGE = ("area(=w*h)", "width", "height", "x1", "y1", "x2", "y2")
MAKERS: dict[str, Callable[[Draw], Inputs]] = {
    "EmptySegs": lambda draw: {},
    "ImpactSegsAndMask": lambda draw: {"segs": segs(draw), "mask": mask(draw)},
    "ImpactSegsAndMaskForEach": lambda draw: {"segs": segs(draw), "masks": mask(draw, 4)},
    "SegmDetectorSEGS": lambda draw: {
        "segm_detector": ("DETECTOR", segs(draw)), "image": picture(draw)[:1], "threshold": 0.5, "dilation": 0,
        "crop_factor": 3.0, "drop_size": 10, "labels": labels(draw),
    },
    "ImpactEdit_SEG_ELT": lambda draw: {
        "seg_elt": seg(draw, picture=False),
        **({"cropped_mask_opt": mask(draw)} if draw.random() < 0.5 else {}),
        **({"cropped_image_opt": picture(draw)} if draw.random() < 0.5 else {}),
        **({"confidence_opt": 0.25, "label_opt": "new", "bbox_opt": (1, 2, 3, 4)} if draw.random() < 0.5 else {}),
    },
    "ImpactDilate_Mask_SEG_ELT": lambda draw: {"seg_elt": seg(draw), "dilation": int(draw.integers(-12, 13))},
    "ImpactDilateMaskInSEGS": lambda draw: {"segs": segs(draw), "dilation": int(draw.integers(-12, 13))},
    "ImpactGaussianBlurMaskInSEGS": lambda draw: {
        "segs": segs(draw, frames=chosen(draw, (None, 3))), "kernel_size": int(draw.integers(0, 15)),
        "sigma": float(draw.uniform(0.1, 20)),
    },
    "ImpactScaleBy_BBOX_SEG_ELT": lambda draw: {"seg": seg(draw), "scale_by": float(np.round(draw.uniform(0.2, 3), 2))},
    "ImpactFrom_SEG_ELT_bbox": lambda draw: {"bbox": seg(draw)[1][4]},
    "ImpactFrom_SEG_ELT_crop_region": lambda draw: {"crop_region": seg(draw)[1][3]},
    "ImpactCount_Elts_in_SEGS": lambda draw: {"segs": segs(draw)},
    "ImpactSEGSToMaskList": lambda draw: {"segs": segs(draw, frames=chosen(draw, (None, 3)))},
    "ImpactSEGSToMaskBatch": lambda draw: {"segs": segs(draw, frames=chosen(draw, (None, 3)))},
    # Without a picture of their own it needs the fallback; pictures of its own it scales through 8 bits.
    "ImpactSEGSPicker": lambda draw: {
        "picks": picks(draw), "segs": segs(draw, picture=True)
    } if draw.random() < 0.5 else {
        "picks": picks(draw), "segs": segs(draw, picture=False),
        "fallback_image_opt": picture(draw, chosen(draw, (1, 2))),
    },
    "ImpactMakeTileSEGS": tiling,
    "ImpactSEGSMerge": lambda draw: {"segs": segs(draw)},
    "ImpactSEGSLabelAssign": lambda draw: {"segs": segs(draw), "labels": labels(draw)},
    "ImpactSEGSLabelFilter": lambda draw: {"segs": segs(draw), "preset": "all", "labels": labels(draw)},
    "ImpactSEGSRangeFilter": lambda draw: {
        "segs": segs(draw), "target": chosen(draw, (*RANGE, "length_percent", "confidence(0-100)")),
        "mode": bool(draw.integers(2)), "min_value": int(draw.integers(40)), "max_value": int(draw.integers(20, 900)),
    },
    "ImpactSEGSOrderedFilter": lambda draw: {
        "segs": segs(draw), "target": chosen(draw, (*RANGE, "confidence")), "order": bool(draw.integers(2)),
        "take_start": int(draw.integers(0, 3)), "take_count": int(draw.integers(0, 4)),
    },
    "ImpactIsNotEmptySEGS": lambda draw: {"segs": segs(draw, most=1)},
}  # fmt: skip


def calls() -> list[tuple[str, int, Inputs]]:
    """(id, number, inputs) of every call."""
    return [
        (name, number, maker(np.random.default_rng(number)))
        for name, maker in MAKERS.items()
        for number in range(ROUNDS)
    ]


def calls_per_frame() -> list[tuple[str, Inputs]]:
    """Calls with a mask for each of three frames that the original fails on: masks are tensors, as they are where
    nodes for clips make them."""
    draw = np.random.default_rng(7)
    several = segs(draw, 2, 2, frames=3, picture=False, tensor=True)
    one = several[2][0]
    return [
        ("ImpactDilateMaskInSEGS", {"segs": several, "dilation": 3}),
        ("ImpactDilate_Mask_SEG_ELT", {"seg_elt": one, "dilation": 3}),
        ("ImpactScaleBy_BBOX_SEG_ELT", {"seg": one, "scale_by": 0.5}),
        ("ImpactSegsAndMask", {"segs": several, "mask": mask(draw)}),
        ("ImpactSegsAndMaskForEach", {"segs": several, "masks": mask(draw, 2)}),
        ("ImpactSEGSMerge", {"segs": several}),
        ("ImpactSEGSPicker", {"picks": "1", "segs": several, "fallback_image_opt": picture(draw)}),
        ("ImpactMakeTileSEGS", {**tiling(draw), "filter_in_segs_opt": several, "filter_segs_dilation": 0}),
    ]


def ours(name: str, inputs: Inputs) -> list[Any]:
    """What our node gives, in the same form."""

    node = NODES[name]()
    return [packed(value) for value in node.doit(**{key: unpacked(value, Seg) for key, value in inputs.items()})]


def digest(value: Any) -> str:
    """A digest of what a node gives: lists and tuples, arrays and tensors count alike, and so do masks (h, w) and
    (1, h, w)."""
    code = hashlib.sha256()
    _feed(code, value)
    return code.hexdigest()[:16]


def _feed(code: Any, value: Any) -> None:
    if isinstance(value, np.ndarray | torch.Tensor):
        array = np.ascontiguousarray(value)
        shape = array.shape[1:] if array.ndim == 3 and len(array) == 1 else array.shape
        code.update(f"{array.dtype}{shape}".encode() + array.tobytes())
    elif isinstance(value, list | tuple):
        code.update(f"{len(value)}:".encode())
        for item in value:
            _feed(code, item)
    else:
        code.update(repr(float(value) if isinstance(value, int | float | np.number) else value).encode())


def nonsense(name: str, inputs: Inputs, result: list[Any]) -> bool:
    """Whether the original fails without an error: it makes one segment of none, whose crop ends where it starts, and
    no tiles where its tiles are no longer than their overlap."""
    if name == "ImpactSEGSMerge":
        return not inputs["segs"][2]
    if name == "ImpactMakeTileSEGS" and result[0][2]:
        x1, _, x2, _ = result[0][2][0][1][4]
        return bool(x2 - x1 <= min(inputs["min_overlap"], inputs["bbox_size"] / 2))
    return False
