"""A plan as a document, which is written into a workspace once and read from there, so that it is never computed
again."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from redetail.errors import InputError, RedetailError
from redetail.geometry.crop import Padding
from redetail.pipeline.plan import CropPlan, Plan
from redetail.pipeline.stretches import Budgets, Stretch
from redetail.region import Region, Size
from redetail.selection.filter_base import LeftOut
from redetail.settings import Settings

VERSION = 1
"""Version of the document's layout; it goes up when a reader of the old layout would misread the new one."""

Document = Mapping[str, Any]


class PackedMasks(Sequence[NDArray[np.uint8]]):
    """Masks (h, w) uint8 of a window of ``size``, each compressed separately and unpacked when it is read."""

    def __init__(self, packed: Sequence[bytes], size: Size) -> None:
        self.packed, self._size = tuple(packed), size

    @classmethod
    def of(cls, masks: Sequence[NDArray[np.uint8]], size: Size) -> PackedMasks:
        """The same masks, compressed."""
        return cls([zlib.compress(np.ascontiguousarray(mask).tobytes(), 1) for mask in masks], size)

    def __len__(self) -> int:
        return len(self.packed)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, index: slice) -> PackedMasks: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | PackedMasks:
        if isinstance(index, slice):
            return PackedMasks(self.packed[index], self._size)
        return np.frombuffer(zlib.decompress(self.packed[index]), np.uint8).reshape(self._size.shape)


def plan_to_document(plan: Plan) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A plan, ready for JSON, and the files of masks that it refers to, by name."""
    files: dict[str, bytes] = {}
    crops = [_crop_document(crop, f"masks-{number}", files) for number, crop in enumerate(plan.crops, 1)]
    background = [_crop_document(crop, "", files) for crop in plan.background]  # tiles have no masks
    budgets = plan.budgets
    document = {
        "plan_version": VERSION,
        "start": plan.start,
        "stop": plan.stop,
        "size": _size_document(plan.size),
        "look_behind": plan.look_behind,
        "budgets": budgets and {"stretch_pixels": budgets.stretch_pixels, "context_length": budgets.context_length},
        "settings": plan.settings and plan.settings.as_dict(),
        "placement": dict(plan.placement),
        "noise_level": plan.noise_level,
        "notices": list(plan.notices),
        "crops": crops,
        "background": background,
        "left_out": [[one.number, one.label, one.reason] for one in plan.left_out],
    }
    return document, files


def plan_from_document(document: Document, files: Mapping[str, bytes]) -> Plan:
    """The plan in a document that :func:`plan_to_document` made.

    Raises :class:`~redetail.errors.InputError` for another version, or a damaged document.
    """
    if document.get("plan_version") != VERSION:
        raise InputError(
            f"The plan has version {document.get('plan_version')!r}, but this version of redetail reads version "
            f"{VERSION}; make the plan again."
        )
    try:
        return _plan(document, files)
    except (KeyError, TypeError, ValueError, zlib.error, RedetailError) as error:
        raise InputError(
            f"The plan in the work folder is damaged ({type(error).__name__}: {error}); remove the folder with "
            "redetail clean, and run the command without --resume."
        ) from error


def _plan(document: Document, files: Mapping[str, bytes]) -> Plan:
    settings, budgets = document["settings"], document["budgets"]
    return Plan(
        start=document["start"],
        stop=document["stop"],
        size=Size(*document["size"]),
        crops=tuple(_crop(crop, files) for crop in document["crops"]),
        background=tuple(_crop(crop, files) for crop in document.get("background", ())),
        notices=tuple(document["notices"]),
        settings=None if settings is None else Settings(**settings),
        placement=document["placement"],
        noise_level=document.get("noise_level"),
        budgets=None if budgets is None else Budgets(**budgets),
        left_out=tuple(LeftOut(*one) for one in document.get("left_out", ())),
    )


def _crop_document(crop: CropPlan, name: str, files: dict[str, bytes]) -> dict[str, Any]:
    return {
        "track": crop.track,
        "working": _size_document(crop.working),
        "padding": list(crop.padding),
        "settings": crop.settings.as_dict(),
        "stretches": [[one.start, one.stop, one.shared] for one in crop.stretches],
        "region": _region_document(crop.region, name, files),
    }


def _crop(document: Document, files: Mapping[str, bytes]) -> CropPlan:
    return CropPlan(
        region=_region(document["region"], files),
        working=Size(*document["working"]),
        padding=Padding(*document["padding"]),
        settings=Settings(**document["settings"]),
        track=document["track"],
        stretches=tuple(Stretch(*one) for one in document["stretches"]),
    )


def _region_document(region: Region, name: str, files: dict[str, bytes]) -> dict[str, Any]:
    masks = None
    if region.masks is not None:
        packed = PackedMasks.of(region.masks, region.size).packed
        files[name] = b"".join(packed)
        masks = {"file": name, "lengths": [len(one) for one in packed]}
    return {
        "label": region.label,
        "confidence": float(region.confidence),
        "start": region.start,
        "size": _size_document(region.size),
        "path": region.path.tolist(),
        "boxes": region.boxes.tolist(),
        "masks": masks,
        "fade_in": region.fade_in,
        "fade_out": region.fade_out,
    }


def _region(document: Document, files: Mapping[str, bytes]) -> Region:
    size, masks = Size(*document["size"]), document["masks"]
    return Region(
        label=document["label"],
        confidence=document["confidence"],
        start=document["start"],
        size=size,
        path=np.array(document["path"], np.float64),
        boxes=np.array(document["boxes"], np.float64),
        masks=None if masks is None else PackedMasks(_parted(files[masks["file"]], masks["lengths"]), size),
        fade_in=document["fade_in"],
        fade_out=document["fade_out"],
    )


def _parted(data: bytes, lengths: Sequence[int]) -> list[bytes]:
    """Consecutive pieces of these lengths."""
    if len(data) != sum(lengths):
        raise ValueError(f"{len(data)} bytes of masks, not {sum(lengths)}")
    ends = np.cumsum(lengths)
    return [data[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _size_document(size: Size) -> list[int]:
    return [size.width, size.height]
