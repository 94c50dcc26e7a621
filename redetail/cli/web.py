"""``redetail web``: the page in a browser."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress

from redetail.cli.config import config_job
from redetail.cli.display import tell
from redetail.cli.outputs import path_of
from redetail.errors import SettingsError
from redetail.files import expanded
from redetail.progress import CancelToken

_AUTH = "REDETAIL_WEB_AUTH"
"""Environment variable for the name and the password, since other users can see what is typed."""


def web(options: argparse.Namespace, cancel: CancelToken) -> None:
    """Serve the page until Ctrl-C."""
    from redetail.web.server import ServerOptions, serve

    user, password = _account(options.auth or os.environ.get(_AUTH))
    chosen = ServerOptions(
        folder=expanded(options.folder),
        models=path_of(options.models),
        host=options.host,
        port=options.port,
        user=user,
        password=password,
        config=config_job(options),
    )
    with suppress(KeyboardInterrupt):
        serve(
            chosen,
            lambda address: tell(f"The page is at {address}  (Ctrl-C stops the server; runs in progress continue)\n"),
        )


def _account(auth: str | None) -> tuple[str, str]:
    if auth is None:
        return "", ""
    user, separator, password = auth.partition(":")
    if not user or not separator or not password:
        raise SettingsError("--auth needs a name and a password; give USER:PASSWORD.")
    return user, password
