"""A missing package names what to install."""

import math
import sys

import pytest

from redetail.errors import DependencyError
from redetail.optional import require, requires


def test_a_module_that_is_there() -> None:
    assert require("math") is math
    assert require("os.path").join("a", "b")


@pytest.mark.parametrize(
    ("module", "package"), [("cv2", "opencv-python-headless"), ("PIL.Image", "pillow"), ("torchsde", "torchsde")]
)
def test_a_missing_one_is_named_as_it_is_installed(monkeypatch: pytest.MonkeyPatch, module: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DependencyError, match=rf"^{package} is not installed; .* 'redetail\[standalone\]'$"):
        require(module)
    with pytest.raises(DependencyError, match=package), requires(module.partition(".")[0]):
        __import__(module)


def test_only_the_named_modules_are_spoken_for() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), requires("av"):
        __import__("no_such_module")
