"""Packages that ComfyUI need not have, and how a missing one is told to somebody who uses ComfyUI."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from redetail.errors import DependencyError, RedetailError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class MissingPackageError(DependencyError):
    """A package is missing in ComfyUI's own environment."""

    def __init__(self, package: str) -> None:
        self.package, self.extra = package, ""
        RedetailError.__init__(
            self,
            f"{package} is not installed in ComfyUI's Python; install it there with: python -m pip install {package} "
            "(any package that provides the same module will do), then restart ComfyUI.",
        )


def told_for_comfy(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A missing package is told with the command that fits ComfyUI, not with the one for the library."""

    @wraps(function)
    def wrapped(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        try:
            return function(*arguments, **named)
        except MissingPackageError:
            raise
        except DependencyError as error:
            raise MissingPackageError(error.package) from error

    return wrapped
