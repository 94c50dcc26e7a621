"""The public surface: names and signatures that users rely on change by decision only."""

import importlib
import inspect
import subprocess
import sys

import redetail
from redetail import errors


def described(name: str) -> str:
    thing = getattr(redetail, name)
    kind = "class" if inspect.isclass(thing) else "function" if callable(thing) else type(thing).__name__
    try:
        signature = str(inspect.signature(thing))
    except (TypeError, ValueError):
        signature = ""
    return f"{kind} {name}{signature if kind == 'function' else ''}"


def test_names_and_signatures(snapshot) -> None:
    snapshot("public.txt", "".join(f"{described(name)}\n" for name in sorted(redetail.__all__)))


def test_every_public_function_and_class_is_documented() -> None:
    silent = [name for name in redetail.__all__ if name[0] != "_" and not inspect.getdoc(getattr(redetail, name))]
    assert silent == []


def test_stages_stay_functions_after_the_packages_of_the_same_name_were_imported() -> None:
    for package in ("redetail.detect.face", "redetail.track.tracker", "redetail.api"):
        importlib.import_module(package)
    assert [
        name for name in ("detect", "track", "detail", "paste") if not inspect.isfunction(getattr(redetail, name))
    ] == []


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, redetail; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_error_of_the_tree_is_public() -> None:
    tree = [thing for thing in vars(errors).values() if inspect.isclass(thing) and issubclass(thing, Exception)]
    assert {thing.__name__ for thing in tree} <= set(redetail.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(redetail, "improve")
