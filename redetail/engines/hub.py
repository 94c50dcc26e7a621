"""Models on the Hugging Face Hub: the only thing that redetail ever downloads, and only if you name one."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from redetail.engines.architectures import hub_patterns, hub_unused
from redetail.errors import ModelError
from redetail.files import expanded
from redetail.optional import require

_LOG = logging.getLogger(__name__)
# Files in addition to the weights that the families name. Copies in half precision, averaged copies (EMA) and the
# safety checker are left out.
_WANTED = ("*.json", "*/*.json", "*/*.txt")
_UNWANTED = ["*.fp16*", "*non_ema*", "safety_checker/*"]
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILES = (".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin")


def checkpoint_path(checkpoint: str | Path, *, whole: bool = False) -> Path:
    """The file or folder of a checkpoint on this machine, else a copy of the model with that name on the hub.

    Only text of the form ``owner/name`` can be a name on the hub. ``whole``: also fetch parts that are only used
    together with others, such as the second expert of Wan 2.2. Raises :class:`~redetail.errors.ModelError` if neither
    exists, and :class:`~redetail.errors.DependencyError` without huggingface_hub.
    """
    path = expanded(checkpoint)
    if os.path.exists(path):
        return path
    if isinstance(checkpoint, str) and _NAME.fullmatch(checkpoint) and path.suffix.lower() not in _FILES:
        return _hub_folder(checkpoint, whole=whole)
    raise ModelError(
        f"There is no checkpoint {path}; give a file or a folder on this machine, or the name of a model on the "
        "Hugging Face Hub (owner/name)."
    )


def _hub_folder(name: str, *, whole: bool) -> Path:
    """The folder of a model that was downloaded before; otherwise it is downloaded now, with a message."""
    hub = require("huggingface_hub")
    failures = _failures()
    try:
        folder = _snapshot(hub, name, local=True)
        if not whole or _has_weights(folder):
            return folder
    except failures:
        pass
    _LOG.warning(
        "There is no file or folder %s on this machine; downloading the model of that name from the Hugging Face Hub.",
        name,
    )
    try:
        described = _snapshot(hub, name, local=False, wanted=_WANTED)
        return _snapshot(hub, name, local=False, unwanted=() if whole else hub_unused(described))
    except failures as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(
            f"There is no file or folder {name}, and no model of that name can be downloaded from the Hugging Face Hub "
            f"({reason}); give a file or a folder on this machine."
        ) from error


def _has_weights(folder: Path) -> bool:
    """Whether every part that has a config also has its weights."""
    return all(any(config.parent.glob("*.safetensors")) for config in folder.glob("transformer*/config.json"))


def _snapshot(
    hub: ModuleType, name: str, *, local: bool, wanted: Sequence[str] = (), unwanted: Sequence[str] = ()
) -> Path:
    """A copy of the files that match ``wanted`` (empty: all that the families name) and not ``unwanted``."""
    allowed = list(wanted) or [*_WANTED, *hub_patterns()]
    folder = hub.snapshot_download(
        name, allow_patterns=allowed, ignore_patterns=[*_UNWANTED, *unwanted], local_files_only=local
    )
    return Path(folder)


def _failures() -> tuple[type[Exception], ...]:
    """The errors that downloading can raise; some of the hub's errors, and those of its HTTP client, have no common
    base."""
    errors = require("huggingface_hub.errors")
    named = (getattr(errors, name, OSError) for name in ("HTTPError", "EntryNotFoundError", "XetDownloadError"))
    return (OSError, ValueError, RuntimeError, *named)
