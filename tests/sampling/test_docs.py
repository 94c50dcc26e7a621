"""docs/samplers.md tells what the registry holds, and every sampler names its source."""

import inspect
import os
import re
from functools import partial
from pathlib import Path

import pytest

from redetail.sampling import find_sampler, sampler_names, scheduler_names
from redetail.sampling.schedulers import SCHEDULERS
from tests.sampling import test_flow as flow
from tests.sampling.toy import recorded

DOCS = Path(__file__).parents[2] / "docs" / "samplers.md"
MARKED = re.compile(r"(<!-- samplers: begin -->\n)(.*?)(<!-- samplers: end -->)", re.DOTALL)


def calls(name: str) -> str:
    """The calls for n steps as a formula, from two values of the function."""
    count = find_sampler(name).calls
    if count is None:
        return "as needed"
    per_step = count(20) - count(19)
    spared = 20 * per_step - count(20)
    return f"{per_step if per_step > 1 else ''}n" + (f" - {spared}" if spared else "")


def table() -> str:
    rows = ["| name | order | calls | noise | source |", "| --- | --- | --- | --- | --- |"]
    for name in sampler_names():
        sampler = find_sampler(name)
        noise = {"none": "-", "brownian_part": "brownian"}.get(sampler.noise, sampler.noise)
        rows.append(f"| `{name}` | {sampler.order} | {calls(name)} | {noise} | {sampler.source} |")
    return "\n".join(rows) + "\n"


def test_the_table_is_the_registry() -> None:
    text = DOCS.read_text()
    if os.environ.get("UPDATE_SNAPSHOTS"):
        DOCS.write_text(MARKED.sub(lambda found: found[1] + table() + found[3], text))
        text = DOCS.read_text()
    found = MARKED.search(text)
    assert found is not None
    assert found[2] == table()


def test_names_are_those_of_the_combo_list() -> None:
    newer = ["exp_heun_2_x0", "exp_heun_2_x0_sde"]  # ComfyUI has these since the recordings for Stable Diffusion
    assert [name for name in sampler_names() if name not in newer] == recorded()["samplers"]
    assert list(sampler_names()) == flow.recorded()["samplers"]


def test_every_scheduler_is_explained() -> None:
    text = DOCS.read_text()
    assert [name for name in scheduler_names() if f"`{name}`" not in text] == []


@pytest.mark.parametrize("name", sampler_names())
def test_every_sampler_names_its_source(name: str) -> None:
    function, options = find_sampler(name).function, ""
    if isinstance(function, partial):
        options = " ".join(value.__doc__ for value in function.keywords.values() if callable(value))
        function = function.func
    module = inspect.getmodule(function)
    assert function.__doc__
    assert module is not None
    cited = f"{function.__doc__} {module.__doc__} {options}"
    assert re.search(r"arXiv \d{4}\.\d{5}|Hairer|recorded fact", cited)
    source = find_sampler(name).source
    assert source in ("recorded", "arXiv 2006.11239") or source.split(",")[0] in cited


def test_every_scheduler_has_a_docstring() -> None:
    for scheduler in SCHEDULERS.values():
        function = scheduler.func if isinstance(scheduler, partial) else scheduler
        assert function.__doc__
