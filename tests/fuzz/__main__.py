"""``python -m tests.fuzz``: the campaign; prints counts, and every case that went wrong with the way to repeat it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.harness import FAULTS, Verdict, run
from tests.fuzz.kinds import KINDS, prepared

Result = tuple[str, int, Verdict]


def main() -> int:
    """Run what the options ask for; 1 where a case went wrong."""
    options = _parser().parse_args()
    kinds = options.kind or list(KINDS)
    started = time.monotonic()
    with prepared(page=options.cases is None and "typed" in kinds):
        cases = [(kind, options.seed + number) for kind in kinds for number in range(_count(options, kind))]
        shares = [cases[number :: options.processes] for number in range(options.processes)]
        results = _results(shares) if options.processes > 1 else [one(*case) for case in cases]
    faults = [result for result in results if result[2].fault]
    _say(_table(results))
    for kind, seed, verdict in faults:
        _say(
            f"\n{kind} {seed}: {verdict.fault} (exit {verdict.code}) {verdict.description}\n"
            f"{verdict.said[-1200:].strip()}\n"
        )
    _say(f"{len(results)} cases in {time.monotonic() - started:.0f} s: " + ", ".join(
        f"{sum(result[2].fault == fault for result in results)} {fault}" for fault in FAULTS) + "\n")  # fmt: skip
    return 1 if faults else 0


def one(kind: str, seed: int) -> Result:
    """Run one case in a folder that is removed afterwards."""
    parent = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        verdict = run(KINDS[kind][1], seed, parent / "case")
        if verdict.fault:
            _say(f"{kind} {seed}: {verdict.fault}\n")
        return kind, seed, verdict
    finally:
        shutil.rmtree(parent, ignore_errors=True)


def _results(shares: list[list[tuple[str, int]]]) -> list[Result]:
    """Each share in a separate process, forked before any thread exists."""
    import pickle

    def share(cases: list[tuple[str, int]]) -> int:
        reading, writing = os.pipe()
        if os.fork() == 0:
            try:
                with os.fdopen(writing, "wb") as pipe:
                    pickle.dump([one(*case) for case in cases], pipe)
            except BaseException:  # noqa: BLE001 - a copy must not clean up what its parent made
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(writing)
        return reading

    readers = [os.fdopen(share(cases), "rb") for cases in shares]
    with ThreadPoolExecutor(len(readers)) as pool:
        results = [result for part in pool.map(pickle.load, readers) for result in part]
    for _ in shares:
        os.wait()
    return results


def _count(options: argparse.Namespace, kind: str) -> int:
    return options.cases or max(1, round(KINDS[kind][0] * options.scale))


def _table(results: list[Result]) -> str:
    lines = []
    for kind in dict.fromkeys(result[0] for result in results):
        verdicts = [verdict for name, _, verdict in results if name == kind]
        codes = Counter(verdict.code for verdict in verdicts)
        slowest = max(verdict.seconds for verdict in verdicts)
        wrong = sum(verdict.fault is not None for verdict in verdicts)
        ends = ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))
        lines.append(
            f"{kind:14} {len(verdicts):5} cases, {wrong:3} wrong, exit codes {ends}; slowest {slowest:.1f} s\n"
        )
    return "".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed of every kind")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only this kind; may be repeated")
    parser.add_argument("--cases", type=int, help="this many of each kind")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many as usual")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
