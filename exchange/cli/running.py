"""`qingqiao serve` and `qingqiao jobs`: the processes of an installation."""

import signal
from threading import Event
from typing import Annotated

import typer
import uvicorn

from exchange import journal
from exchange.app import create_app, spare_the_collector
from exchange.cli.context import console, opened
from exchange.home import Home
from exchange.jobs import Jobs


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(serve)
    app.command()(jobs)


def server(home: Home) -> uvicorn.Server:
    """Make the web server over an opened home; its own access log is off, for it would log addresses whole."""
    chosen, app = home.settings, create_app(home)
    spare_the_collector()
    config = uvicorn.Config(
        app,
        host=chosen.listen_host,
        port=chosen.listen_port,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=16_384,
    )
    return uvicorn.Server(config)


def serve(
    *,
    with_jobs: Annotated[bool, typer.Option("--jobs/--no-jobs", help="Run the scheduled jobs in here too.")] = True,
) -> None:
    """Serve the doors of this installation until Ctrl-C."""
    journal.set_up()
    with opened() as home:
        running = Jobs(home) if with_jobs else None
        if running is not None:
            running.start()
        try:
            console.print(f"serving {home.settings.issuer} on {home.settings.listen_host}:{home.settings.listen_port}")
            server(home).run()
        finally:
            if running is not None:
                running.stop()


def jobs() -> None:
    """Run the scheduled jobs until Ctrl-C; of several such processes one leads."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    journal.set_up()
    with opened() as home:
        Jobs(home).run_forever(stop)
