"""redetail: detail regions of a video with a diffusion model.

:func:`detail` does everything in one call; :func:`run` does what a :class:`Job` asks for. :func:`detect`,
:func:`track`, :func:`enhance` and :func:`paste` are the single stages. :func:`plan` finds the subjects without
detailing them, :func:`preview` shows a few moments with several settings, and :func:`compare` measures the gain.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from redetail._version import __version__
from redetail.errors import (
    Cancelled,
    ClusterError,
    DependencyError,
    InputError,
    ModelError,
    OutputError,
    RedetailError,
    RegionError,
    SettingsError,
    UnknownNameError,
)
from redetail.progress import CancelToken, Progress, ProgressCallback
from redetail.region import Box, Detection, Region, Size
from redetail.segs import Seg, Segs
from redetail.settings import Settings

if TYPE_CHECKING:
    from redetail.api import detail, detect, enhance, paste, plan, plan_job, run, track
    from redetail.cluster.connection import Cluster
    from redetail.engines.base import Capabilities, Engine
    from redetail.engines.loader import load_engine
    from redetail.engines.memory import Memory
    from redetail.engines.spec import ControlFile, ModelSpec, WeightedFile
    from redetail.evaluate.comparison import Comparison
    from redetail.job import Job, Subject, read_job
    from redetail.judging import compare, preview
    from redetail.pipeline.estimate import Estimate
    from redetail.pipeline.plan import Plan
    from redetail.pipeline.preview import Preview
    from redetail.pipeline.report import Report
    from redetail.pipeline.result import Result
    from redetail.pipeline.work import Work
    from redetail.selection.detected import Detections
    from redetail.video.options import EncodeOptions

# Names that need torch, OpenCV or PyAV are imported on first use, so that ``import redetail`` and ``--help`` are quick.
_LAZY = {
    **dict.fromkeys(
        ("detail", "detect", "enhance", "paste", "plan", "plan_job", "run", "track"),
        "redetail.api",
    ),
    **dict.fromkeys(("compare", "preview"), "redetail.judging"),
    **dict.fromkeys(("Capabilities", "Engine"), "redetail.engines.base"),
    "load_engine": "redetail.engines.loader",
    "Memory": "redetail.engines.memory",
    **dict.fromkeys(("ControlFile", "ModelSpec", "WeightedFile"), "redetail.engines.spec"),
    **dict.fromkeys(("Job", "Subject", "read_job"), "redetail.job"),
    "Cluster": "redetail.cluster.connection",
    "Comparison": "redetail.evaluate.comparison",
    "EncodeOptions": "redetail.video.options",
    "Estimate": "redetail.pipeline.estimate",
    "Plan": "redetail.pipeline.plan",
    "Preview": "redetail.pipeline.preview",
    "Report": "redetail.pipeline.report",
    "Result": "redetail.pipeline.result",
    "Work": "redetail.pipeline.work",
    "Detections": "redetail.selection.detected",
}

__all__ = [
    "Box",
    "CancelToken",
    "Cancelled",
    "Capabilities",
    "Cluster",
    "ClusterError",
    "Comparison",
    "ControlFile",
    "DependencyError",
    "Detection",
    "Detections",
    "EncodeOptions",
    "Engine",
    "Estimate",
    "InputError",
    "Job",
    "Memory",
    "ModelError",
    "ModelSpec",
    "OutputError",
    "Plan",
    "Preview",
    "Progress",
    "ProgressCallback",
    "RedetailError",
    "Region",
    "RegionError",
    "Report",
    "Result",
    "Seg",
    "Segs",
    "Settings",
    "SettingsError",
    "Size",
    "Subject",
    "UnknownNameError",
    "WeightedFile",
    "Work",
    "__version__",
    "compare",
    "detail",
    "detect",
    "enhance",
    "load_engine",
    "paste",
    "plan",
    "plan_job",
    "preview",
    "read_job",
    "run",
    "track",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'redetail' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
