"""`selfinstruct serve`: runs in the browser and over HTTP."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from selfinstruct.cli.console import stderr, stdout
from selfinstruct.cli.help import default

# Pages that follow a run keep a connection open. A stop does not wait for them.
_GOODBYE_SECONDS = 2


def serve(
    root: Annotated[
        Path, typer.Option("--root", help="Folder of runs; new ones are made in it.")
    ] = Path("outputs"),
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address to listen on; any address but loopback needs a token."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = (8700),
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="SELFINSTRUCT_TOKEN",
            help="Token that clients "
            "send." + default("none; one is made if --host is not a loopback address"),
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="Another host name of this service. May be repeated.",
        ),
    ] = None,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--endpoint",
            metavar="URL",
            help="A served model for new runs, such as http://host:8000/v1#NAME. May be repeated.",
        ),
    ] = None,
) -> None:
    """Open the web service for a folder of runs: audit and rate tasks, start and watch runs.

    Runs that the service started continue when it stops. It finds them when you start it again.

    Example:
        selfinstruct serve --root outputs
    """
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.common.installing import extra_line
    from selfinstruct.common.paths import user_path
    from selfinstruct.models.endpoint import is_endpoint

    try:
        import uvicorn

        from selfinstruct.web.app import create_app
        from selfinstruct.web.security import EVERY_ADDRESS, access_for
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the web service needs {error.name}; install it with: {extra_line('serve')}"
        ) from error
    folder = user_path(root, "--root")
    access = access_for(host, token, allow_host or ())
    endpoints = endpoint or []
    for address in endpoints:
        if not is_endpoint(address):
            raise ConfigError(
                f"--endpoint {address}: is not the address of a server, such as http://host:8000/v1"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror}); check --root") from error
    config = uvicorn.Config(
        create_app(folder, access, endpoints=endpoints),
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_GOODBYE_SECONDS,
    )
    try:
        listening = config.bind_socket()
    except SystemExit:  # uvicorn's way to say that it cannot
        raise ConfigError(
            f"{host}:{port}: cannot be listened on; it may be in use: give another --host or --port"
        ) from None
    listening.listen(config.backlog)  # a browser that opens the address at once waits a moment
    # In a container the machine's own name reaches nothing from outside; the one given does.
    own_name = allow_host[0] if allow_host else socket.gethostname()
    name = own_name if host in EVERY_ADDRESS else host
    named = f"[{name}]" if ":" in name else name
    address = f"http://{named}:{listening.getsockname()[1]}"
    _say(f"runs of {folder} at {address}")
    if access.token is not None:
        _say(f"once, in your browser: {address}/login?key={access.login_key}")
    if access.token is not None and token is None:
        _say(f"token: {access.token}")
    _hint("stop it with Ctrl-C; runs started from it continue")
    uvicorn.Server(config).run(sockets=[listening])


def _say(text: str) -> None:
    stdout.print(text, markup=False, highlight=False, soft_wrap=True)


def _hint(text: str) -> None:
    stderr.print(text, markup=False, highlight=False, soft_wrap=True)
