"""Finds phrases that a native speaker would not write, in every text a person can read here.

``python tools/prose.py [PATH ...]`` lists them as ``file:line: phrase -> what to write instead`` and exits with 1 if
there are any. Without paths it reads what git tracks: sources (messages, help, docstrings, comments), tests, pages,
workflows. docs/style.md explains the rules; its examples of what not to write, this file and its test are left out.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
READ = {".py", ".md", ".toml", ".yml", ".yaml", ".cff", ".js", ".html", ".txt", ""}
LEFT_OUT = (
    "docs/style.md",
    "tools/prose.py",
    "tests/tools/test_prose.py",
    "LICENSE",
    "constraints.txt",
    "tests/golden/",
)
# "is no longer" and its like are idiom, and so is "there is no".
IDIOM = (
    "longer|more|less|fewer|better|worse|other|different|shorter|wider|larger|smaller|"
    "need|doubt|matter|wonder|point|reason|such|one|way|problem"
)


@dataclass(frozen=True)
class Rule:
    """``pattern`` (case-insensitive; a space is any white space) is what not to write, ``instead`` what to write."""

    pattern: str
    instead: str

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """Every place in ``text``; line breaks, and the marks of a comment after them, count as spaces."""
        gap = r"(?:[ \t]+|[ \t]*\n[ \t]*(?:#:?|//|\*|>)?[ \t]*)"
        return re.finditer(self.pattern.replace(" ", gap), text, re.IGNORECASE)


RULES = (
    Rule(r"\bin the place of\b", '"instead of", "in place of"'),
    Rule(r"\banew\b", '"again"'),
    Rule(r"\btold (?:by|from)\b", '"determined by", "recognised by"'),
    Rule(r"\bbegun\b", '"started"'),
    Rule(rf"(?<!there\s)\b(?:is|are|was|were|be|being) no (?!(?:{IDIOM})\b)[a-z]", '"is not a ..."'),
    Rule(r"\bof one mind\b", '"consistent", "agree"'),
    Rule(r"\bdid not suffice\b", '"was not enough", "ran out of ..."'),
    Rule(r"\bso that nobody\b", '"so that no one", or say what holds'),
    Rule(r"\bwhat was won\b", '"the gain"'),
    Rule(r"\bevery so many(?:-?th)?\b", '"every n-th"'),
    Rule(r"\bas was said\b", "drop it"),
    Rule(r"\bworked at \d+\s?x\s?\d+", '"processed at 512x512"'),
    Rule(r"\bwith the way out\b", "name the remedy"),
    Rule(r"\b(?:is|are|be) of no use\b", '"does not help", "is useless"'),
    Rule(r"\bhas no partner\b", '"has no counterpart", "is unmatched"'),
    Rule(r"\bfor the whole of\b", '"throughout", "for all of"'),
    Rule(r"\bof one's own\b", '"your own ..."'),
    Rule(r"\ball that is\b", '"everything", "whatever"'),
    Rule(r"\bprocess(?:es)? of (?:its|their) own\b", '"a separate process"'),
    Rule(r"\bstands? in (?:the (?:report|card|log|table|shapes?)\b|`)", '"is in the report"'),
    Rule(r"\bgo(?:es)? on (?:where|with)\b", '"continues", "resumes"'),
    Rule(r"\bwhat is wanted\b", '"give ... instead"'),
    Rule(r"\b(?:clips?|crops|stretch(?:es)?|pass) in work\b", '"current", "in progress"'),
    Rule(r"\bworked on at (?!once)", '"processed at 512x512"'),
    Rule(r"\b(?:choose|use|one) (?:one )?of the list\b", '"one from the list"'),
    Rule(r"\b(?:is|was|are|were) mended\b", '"fixed"'),
    Rule(r"(?<=\d) %(?:[.,;:)]| (?:of|in|on|to|and|at|more|less|for|noise)\b)", '"95%", without a space'),
    Rule(r"\bwhat is wrong with (?:it|them) is said\b", '"the message says what is wrong"'),
)


@dataclass(frozen=True)
class Finding:
    """A phrase to rewrite; ``line`` counts from 1."""

    path: str
    line: int
    phrase: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.phrase!r} -> {self.instead}"


def findings(path: str, text: str) -> list[Finding]:
    """What to rewrite in the text of one file, in the order of lines."""
    found = [
        Finding(path, text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), rule.instead)
        for rule in RULES
        for match in rule.matches(text)
    ]
    return sorted(found, key=lambda finding: finding.line)


def tracked() -> list[Path]:
    """Files of the repository that hold prose."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in done.stdout.split("\0") if name and not name.startswith(LEFT_OUT)]
    return [ROOT / name for name in names if Path(name).suffix in READ]


def main(arguments: Sequence[str]) -> int:
    """Print the findings; 0 if there are none."""
    paths = [Path(argument) for argument in arguments] or tracked()
    found = [one for path in paths for one in findings(str(path), path.read_text(encoding="utf-8"))]
    sys.stdout.writelines(f"{finding}\n" for finding in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
