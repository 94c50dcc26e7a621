"""Models of the Hugging Face hub: the only thing that is ever fetched, and only where somebody names one."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from types import ModuleType

from redetail.engines.architectures import hub_patterns
from redetail.errors import ModelError
from redetail.files import expanded
from redetail.optional import require

_LOG = logging.getLogger(__name__)
# Beside the weights that the families name. Left out are copies in half precision, averaged copies (EMA) and the
# safety checker.
_WANTED = ("*.json", "*/*.json", "*/*.txt")
_UNWANTED = ["*.fp16*", "*non_ema*", "safety_checker/*"]
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILES = (".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin")


def checkpoint_path(checkpoint: str | Path) -> Path:
    """The file or folder of a checkpoint on this machine, else a copy of the hub's model of that name.

    Only a text of the form ``owner/name`` can be a hub name. Raises :class:`~redetail.errors.ModelError` where there is
    neither, and :class:`~redetail.errors.DependencyError` without huggingface_hub.
    """
    path = expanded(checkpoint)
    if path.exists():
        return path
    if isinstance(checkpoint, str) and _NAME.fullmatch(checkpoint) and path.suffix.lower() not in _FILES:
        return _hub_folder(checkpoint)
    raise ModelError(
        f"There is no checkpoint {path}; give a file or a folder on this machine, or a hub name owner/name."
    )


def _hub_folder(name: str) -> Path:
    """What was fetched before, else it is fetched now, which is said."""
    hub = require("huggingface_hub")
    failures = _failures()
    try:
        return _snapshot(hub, name, local=True)
    except failures:
        _LOG.warning("There is no path %s on this machine; fetching the model of that name from the hub.", name)
    try:
        return _snapshot(hub, name, local=False)
    except failures as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(
            f"There is no file or folder {name}, and no model of that name can be fetched from the hub ({reason}); "
            "give a file or a folder on this machine."
        ) from error


def _snapshot(hub: ModuleType, name: str, *, local: bool) -> Path:
    wanted = [*_WANTED, *hub_patterns()]
    folder = hub.snapshot_download(name, allow_patterns=wanted, ignore_patterns=_UNWANTED, local_files_only=local)
    return Path(folder)


def _failures() -> tuple[type[Exception], ...]:
    """What fetching may raise; some of the hub's errors, and those of its HTTP client, descend from nothing else."""
    errors = require("huggingface_hub.errors")
    named = (getattr(errors, name, OSError) for name in ("HTTPError", "EntryNotFoundError", "XetDownloadError"))
    return (OSError, ValueError, RuntimeError, *named)
