"""The house stays in order: what may be imported where, and how long a file may be."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE = "errors files optional segs region settings progress geometry imaging sampling engines.base video.base"
HEAVY = "diffusers transformers cv2 av PIL rich torchsde comfy accelerate scipy skimage jinja2 gradio ray"

# Imports every module of the named packages while the heavy ones cannot be imported, and prints how many those were.
PROBE = """
import importlib, pkgutil, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in set(sys.argv[2].split()):
            raise ModuleNotFoundError(f"{name} is blocked in this test", name=name)

sys.meta_path.insert(0, Blocked())
count = 0
for short in sys.argv[1].split():
    module = importlib.import_module(f"redetail.{short}")
    count += 1
    for item in pkgutil.walk_packages(getattr(module, "__path__", []), f"redetail.{short}."):
        importlib.import_module(item.name)
        count += 1
print(count)
"""


def imported(modules: str, blocked: str) -> int:
    """How many modules were imported without the blocked packages; fails with the import error otherwise."""
    command = [sys.executable, "-c", PROBE, modules, blocked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_the_core_needs_no_heavy_package() -> None:
    assert imported(CORE, HEAVY) > len(CORE.split())


def test_the_package_and_its_command_start_without_heavy_packages() -> None:
    assert imported("__main__ cli.main cli.parser cli.interrupt", f"{HEAVY} torch") == 4


def test_every_command_and_the_library_start_with_torch_alone() -> None:
    """What is missing is then a sentence that says what to install, where it is used: never an import error."""
    modules = "api batch.run " + " ".join(f"cli.{path.stem}" for path in (ROOT / "redetail" / "cli").glob("[!_]*.py"))
    assert imported(modules, HEAVY) == len(modules.split())


def test_the_block_itself_works() -> None:
    command = [sys.executable, "-c", PROBE, "settings", "redetail"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "redetail.settings is blocked" in done.stderr or "redetail is blocked" in done.stderr


def test_no_source_file_is_longer_than_a_person_reads_at_once() -> None:
    sources = [path for folder in ("redetail", "examples", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 20
    lengths = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in sources}
    assert {name: length for name, length in lengths.items() if length > 350} == {}
