"""The public surface: names and signatures that users rely on change by decision only."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import redetail
from redetail import errors


def described(name: str) -> str:
    """Kind, name and, for a function, its signature; a default that is a function stands there by its name."""
    thing = getattr(redetail, name)
    if inspect.isfunction(thing):
        return "function " + name + re.sub(r"<function (\w+) at \w+>", r"\1", str(inspect.signature(thing)))
    return f"{'class' if inspect.isclass(thing) else 'value'} {name}"


def test_names_and_signatures(snapshot) -> None:
    snapshot("public.txt", "".join(f"{described(name)}\n" for name in sorted(redetail.__all__)))


def test_every_public_function_and_class_is_documented() -> None:
    public = {name: getattr(redetail, name) for name in redetail.__all__}
    code = {name: thing for name, thing in public.items() if inspect.isfunction(thing) or inspect.isclass(thing)}
    assert len(code) > 20
    assert [name for name, thing in code.items() if not inspect.getdoc(thing)] == []


def test_stages_stay_functions_after_the_packages_of_the_same_name_were_imported() -> None:
    for package in ("redetail.detection.face", "redetail.tracking.tracker", "redetail.api"):
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


def test_the_package_is_found_from_the_folder_that_a_clone_lies_in(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    (tmp_path / "redetail").mkdir()
    for name in ("__init__.py", "redetail"):
        (tmp_path / "redetail" / name).symlink_to(root / name)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = "import redetail, redetail.region; print(redetail.__version__, redetail.Settings().steps >= 1)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (ran.stdout.strip(), ran.stderr) == (f"{redetail.__version__} True", "")
