"""What became of each clip of a batch, and the summary of all of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from redetail._version import __version__
from redetail.batch.inputs import BatchClip
from redetail.files import write_text

_FORMAT = "redetail batch"
SUMMARY = "redetail-batch"


class State(StrEnum):
    """What became of a clip."""

    DONE = "done"
    NOBODY = "no subject found"
    DAMAGED = "done, source damaged"
    SKIPPED = "done before"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a clip; ``message`` says why it failed, ``notices`` are the messages of its run.

    ``worker``: where it ran on a cluster, HOST:PROCESS; empty for this process.
    """

    clip: BatchClip
    state: State
    frames: int = 0
    subjects: int = 0
    seconds: float = 0.0
    message: str = ""
    notices: tuple[str, ...] = ()
    worker: str = ""

    def to_document(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "source": str(self.clip.source),
            "output": str(self.clip.output),
            "state": self.state.value,
            "frames": self.frames,
            "subjects": self.subjects,
            "seconds": round(self.seconds, 2),
            "worker": self.worker,
            "message": self.message,
            "notices": list(self.notices),
        }


def write_summary(outcomes: Sequence[Outcome], folder: Path) -> tuple[Path, Path]:
    """Write the summary of a batch into ``folder``, as JSON and as CSV, and return their names.

    Raises :class:`~redetail.errors.OutputError`.
    """
    rows = [outcome.to_document() for outcome in outcomes]
    counts = {state.value: sum(one.state is state for one in outcomes) for state in State}
    document = {"format": _FORMAT, "version": 1, "redetail": __version__, "counts": counts, "clips": rows}
    paths = folder / f"{SUMMARY}.json", folder / f"{SUMMARY}.csv"
    write_text(paths[0], json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    table = io.StringIO()
    columns = [name for name in rows[0] if name != "notices"] if rows else ["source"]
    writer = csv.DictWriter(table, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(paths[1], table.getvalue())
    return paths
