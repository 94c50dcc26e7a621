"""Packages that ComfyUI may lack, and the message about a missing one for users of ComfyUI."""

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
    """Names a missing package with the command for ComfyUI, not with the one for the library."""

    @wraps(function)
    def wrapped(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        try:
            return function(*arguments, **named)
        except MissingPackageError:
            raise
        except DependencyError as error:
            raise MissingPackageError(error.package) from error

    return wrapped
