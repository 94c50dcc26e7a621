"""The families of models that can be loaded. A family is one module here and one entry in ``ARCHITECTURES``.

They are tried in order: a family whose files look like special cases of another family's comes before that one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from redetail.engines.architectures.base import CHECKPOINT, Architecture, Identity, KnownModel, Shapes
from redetail.engines.architectures.restoration import RESTORATION
from redetail.engines.architectures.sdxl import SDXL
from redetail.engines.architectures.stable_diffusion import STABLE_DIFFUSION
from redetail.engines.architectures.unsupported import unsupported_name
from redetail.engines.architectures.wan import WAN

ARCHITECTURES: tuple[Architecture, ...] = (RESTORATION, WAN, STABLE_DIFFUSION, SDXL)


def recognize(shapes: Shapes) -> Identity:
    """What a file with these tensors is; the kind is "unknown" if no family recognises it."""
    for recognizer in dict.fromkeys(one for family in ARCHITECTURES for one in family.recognizers):
        identity = recognizer(shapes)
        if identity is not None:
            return identity
    return Identity("unknown", "", unsupported_name(shapes) or "a weight file of unknown kind")


def architecture_of(kind: str, base: str) -> Architecture | None:
    """The family that loads a file; None if the file is not a checkpoint, or belongs to an unknown family."""
    families = (family for family in ARCHITECTURES if base in (family.base, *family.related))
    return next(families, None) if kind == CHECKPOINT else None


def model_folder(path: Path) -> tuple[Architecture, Path] | None:
    """The family and the folder of the model at a path or containing it; None if there is no such folder."""
    for family in ARCHITECTURES:
        folder = family.folder_of(path)
        if folder is not None:
            return family, folder
    return None


def either(names: Sequence[str]) -> str:
    """Alternatives in words: "a, b or c"."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def wanted() -> str:
    """What can be loaded, in words."""
    return either([*dict.fromkeys(family.wanted for family in reversed(ARCHITECTURES))])


def bundled_architecture() -> Architecture:
    """The family of the model that is used by default."""
    return next(family for family in ARCHITECTURES if family.bundled)


def family_names() -> tuple[str, ...]:
    """Names of the families whose models are named by a checkpoint."""
    return tuple(family.name for family in ARCHITECTURES if not family.bundled)


def families_that_take(field: str) -> tuple[str, ...]:
    """Names of the families whose models take this field of a :class:`~redetail.engines.spec.ModelSpec`."""
    return tuple(family.name for family in ARCHITECTURES if field in family.takes)


def all_presets() -> Mapping[str, Mapping[str, Any]]:
    """The presets of all families: a name means the same wherever it exists."""
    return {name: preset for family in ARCHITECTURES for name, preset in family.presets.items()}


def families_with_preset(name: str) -> tuple[str, ...]:
    """Names of the families that have a preset of this name."""
    return tuple(family.name for family in ARCHITECTURES if name in family.presets)


def hub_patterns() -> tuple[str, ...]:
    """Patterns of the weight files that are downloaded for a model on the hub, for all families."""
    return tuple(dict.fromkeys(pattern for family in ARCHITECTURES for pattern in family.hub_weights))


def hub_unused(folder: Path) -> tuple[str, ...]:
    """Patterns of a model's weight files that are not needed, according to the configs of its parts in ``folder``."""
    return tuple(pattern for family in ARCHITECTURES for pattern in family.hub_unused(folder))


def known_models() -> Iterator[KnownModel]:
    """Published weights that are known to work, family by family; nothing is ever downloaded from here."""
    return (model for family in ARCHITECTURES for model in family.known)
