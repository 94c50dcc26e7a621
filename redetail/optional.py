"""Import an optional package, or say how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from redetail.errors import DependencyError

_STANDALONE = "standalone"
# Packages whose name differs from that of their module.
_PACKAGES = {
    "ai_edge_litert": "ai-edge-litert",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "skimage": "scikit-image",
}


def require(module: str, extra: str = _STANDALONE) -> ModuleType:
    """Import ``module``; raises :class:`~redetail.errors.DependencyError`, which names the ``extra`` if its package
    cannot be imported."""
    try:
        return import_module(module)
    except ImportError as error:
        raise _missing(module, extra) from error


@contextmanager
def requires(*modules: str) -> Iterator[None]:
    """A block for imports that need these top-level modules; raises DependencyError if one is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in modules:
            raise
        raise _missing(error.name) from error


def _missing(module: str, extra: str = _STANDALONE) -> DependencyError:
    name = module.partition(".")[0]
    return DependencyError(_PACKAGES.get(name, name), extra)
