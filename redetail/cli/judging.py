"""What can be typed after ``redetail evaluate`` and ``redetail preview``: the commands for looking at results."""

from __future__ import annotations

import argparse

from redetail.cli.options import add_subjects
from redetail.cli.parsing import Help, Parser, add_talk


def add_evaluate(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add ``redetail evaluate``."""
    parser = commands.add_parser(
        "evaluate",
        prog="redetail evaluate",
        usage="redetail evaluate SOURCE RESULT [RESULT ...] [--original CLIP] [options]",
        help="measure what was gained, and at what price",
        description="Compare results of redetail or of any other tool with the clip they were made from: sharpness,\n"
        "noise, flicker, seams, colours; with an original also PSNR, SSIM and VMAF. Clips may differ in size.",
        epilog="exit codes: 0 the figures are complete; 2 something must be changed, and the message says what\n",
        formatter_class=Help,
        allow_abbrev=False,
        add_help=False,
    )
    group = parser.add_argument_group("clips")
    group.add_argument("input", metavar="SOURCE", help="the video or folder of images that was detailed")
    group.add_argument("results", metavar="RESULT", nargs="+", help="what became of it; NAME=FILE gives it a name")
    group.add_argument("--original", metavar="CLIP", help="the same clip as it should be, where there is one")
    add_subjects(parser.add_argument_group("subjects"))
    group = parser.add_argument_group("output")
    group.add_argument("--report", metavar="OUT.json", help="also write all figures, frame by frame")
    group.add_argument("--sheet", metavar="OUT.png", help="also write the subjects of all clips at a few moments")
    group.add_argument("--overwrite", action="store_true", help="replace files that exist")
    add_talk(parser)
