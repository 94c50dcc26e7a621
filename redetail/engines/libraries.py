"""Imports diffusers and transformers where they are needed, and keeps them quiet while they load."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from redetail.optional import require

_LIBRARY_LOGGERS = ("diffusers", "transformers")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries from drawing bars and printing advice while they load; errors are still raised as
    exceptions."""
    progress = require("transformers").utils.logging
    require("diffusers")
    loggers = [logging.getLogger(name) for name in _LIBRARY_LOGGERS]
    levels = [logger.level for logger in loggers]
    bars = progress.is_progress_bar_enabled()
    progress.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            progress.enable_progress_bar()
