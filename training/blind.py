"""A blind comparison of two ways: run `python training/blind.py ask ...`, note your answers, run `... tell ...`.

`ask --outputs OUT/outputs_half.npz ... --ways NEW OLD --output FOLDER --seed N` writes one picture per pair, left
against right in an order drawn with the seed: the middle of three frames of each side, enlarged. Some pairs are checks:
the same clip twice, and the original against the softened clip. The key is in a separate file, which the person who
answers does not open.

Answers are a text file with one line per pair: its number and `left`, `right` or `same`. `tell --folder FOLDER
--answers FILE ...` counts them, each file one sitting, and writes them with the key to FOLDER/result.json, raw.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

log = logging.getLogger("blind")

Clip = NDArray[np.uint8]
ANSWERS = ("left", "right", "same")
ORIGINAL, SOFT = "original", "bicubic input"
CHECKS = 2  # pairs of each kind of check
SEEN = 2 / 3  # of the sides of a frame: the middle, where the face is
ENLARGED, GAP = 4, 24


def pairs(clips: list[str], ways: tuple[str, str], rng: np.random.Generator) -> list[dict[str, str]]:
    """The pairs in random order: the clip, what is left and right, and the kind of pair."""
    drawn = [("compared", clip, ways) for clip in clips]
    drawn += [("identical", clip, (ways[0], ways[0])) for clip in rng.choice(clips, CHECKS, replace=False)]
    drawn += [("obvious", clip, (ORIGINAL, SOFT)) for clip in rng.choice(clips, CHECKS, replace=False)]
    result = []
    for place in rng.permutation(len(drawn)):
        kind, clip, (left, right) = drawn[place]
        if rng.random() < 0.5:
            left, right = right, left
        result.append({"kind": kind, "clip": str(clip), "left": left, "right": right})
    return result


def picture(left: Clip, right: Clip) -> Clip:
    """The middle of three frames of each side under one another, enlarged smoothly."""
    frames = np.linspace(0, len(left) - 1, 4).astype(int)[1:]
    sides = [[enlarged(middle(side[n])) for n in frames] for side in (left, right)]
    gap = np.full((sides[0][0].shape[0], GAP, 3), 128, np.uint8)
    return np.concatenate([np.concatenate([a, gap, b], axis=1) for a, b in zip(*sides, strict=True)])


def middle(frame: Clip) -> Clip:
    """The middle `SEEN` of a frame along both axes."""
    (top, height), (left, width) = ((round(n * (1 - SEEN) / 2), round(n * SEEN)) for n in frame.shape[:2])
    return frame[top : top + height, left : left + width]


def enlarged(frame: Clip) -> Clip:
    """A frame at `ENLARGED` times its size."""
    size = (frame.shape[1] * ENLARGED, frame.shape[0] * ENLARGED)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def ask(options: argparse.Namespace) -> None:
    """Write the pictures and the key."""
    outputs: dict[str, Clip] = {}
    for path in options.outputs:
        with np.load(path) as file:
            outputs.update({f"{path.stem}/{name}": file[name] for name in file.files})
    clips = sorted({name.rpartition("|")[0] for name in outputs})
    key = pairs(clips, tuple(options.ways), np.random.default_rng(options.seed))
    options.output.mkdir(parents=True, exist_ok=True)
    for number, pair in enumerate(key, 1):
        sides = (outputs[f"{pair['clip']}|{pair[side]}"] for side in ("left", "right"))
        cv2.imwrite(str(options.output / f"pair_{number:02d}.png"), picture(*sides)[..., ::-1])
    (options.output / "key.json").write_text(json.dumps({"seed": options.seed, "pairs": key}, indent=1))
    log.info("%d pairs in %s; do not open key.json before you have answered", len(key), options.output)


def read_answers(path: Path, count: int) -> list[str]:
    """The answer to every pair. Raises ValueError that names what is missing or unknown."""
    found: dict[int, str] = {}
    for line in path.read_text().split("\n"):
        if line.strip():
            number, answer = line.split()
            if answer not in ANSWERS:
                raise ValueError(f"{path}: {answer!r} is not an answer; write left, right or same.")
            found[int(number)] = answer
    if missing := sorted(set(range(1, count + 1)) - set(found)):
        raise ValueError(f"{path}: no answer to pair {missing[0]}.")
    return [found[number] for number in range(1, count + 1)]


def counted(key: list[dict[str, str]], answers: list[str], way: str) -> dict[str, Any]:
    """How often this way was preferred, and whether the checks were passed."""
    chosen = [pair.get(answer, "") for pair, answer in zip(key, answers, strict=True)]
    compared = [choice for pair, choice in zip(key, chosen, strict=True) if pair["kind"] == "compared"]
    return {
        "preferred": sum(choice == way for choice in compared),
        "same": compared.count(""),
        "of": len(compared),
        "identical called different": sum(
            c != "" for p, c in zip(key, chosen, strict=True) if p["kind"] == "identical"
        ),
        "obvious missed": sum(c != ORIGINAL for p, c in zip(key, chosen, strict=True) if p["kind"] == "obvious"),
    }


def tell(options: argparse.Namespace) -> None:
    """Count every sitting and keep the raw answers."""
    key = json.loads((options.folder / "key.json").read_text())
    sittings = []
    for path in options.answers:
        answers = read_answers(path, len(key["pairs"]))
        sittings.append({"answers": answers, **counted(key["pairs"], answers, options.way)})
        log.info("%s: %s", path.name, {name: value for name, value in sittings[-1].items() if name != "answers"})
    (options.folder / "result.json").write_text(json.dumps({**key, "way": options.way, "sittings": sittings}, indent=1))


def main() -> None:
    """Ask or tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    asking = commands.add_parser("ask", help="make the pairs")
    asking.add_argument("--outputs", type=Path, nargs="+", required=True, help="what evaluate.py --keep wrote")
    asking.add_argument("--ways", nargs=2, required=True, help="names of the two ways")
    asking.add_argument("--output", type=Path, required=True)
    asking.add_argument("--seed", type=int, required=True)
    asking.set_defaults(run=ask)
    telling = commands.add_parser("tell", help="count the answers")
    telling.add_argument("--folder", type=Path, required=True)
    telling.add_argument("--way", required=True, help="whose wins are counted")
    telling.add_argument("--answers", type=Path, nargs="+", required=True)
    telling.set_defaults(run=tell)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.run(options)


if __name__ == "__main__":
    main()
