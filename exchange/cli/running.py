"""`qingqiao serve`: the web process of an installation, with the scheduled jobs in it unless they run elsewhere."""

from typing import Annotated, Final

import typer
import uvicorn
from fastapi import FastAPI

from exchange import journal
from exchange.app import create_app
from exchange.cli.context import console, opened
from exchange.garbage import spare_the_collector
from exchange.home import Home
from exchange.jobs import Jobs

SHUTDOWN_SECONDS: Final = 10  # for requests under way; who watches an upload, or sends one slowly, is then let go of


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def together(home: Home, *, with_jobs: bool) -> tuple[FastAPI, Jobs | None]:
    """Make the application, and the jobs if they run in here too: then /metrics tells of both."""
    app = create_app(home)
    return app, Jobs(home, metrics=app.state.metrics.registry) if with_jobs else None


def server(home: Home, app: FastAPI | None = None) -> uvicorn.Server:
    """Make the web server over an opened home; its own access log is off, for it would log addresses whole."""
    chosen, app = home.settings, app or create_app(home)
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
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
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
        app, running = together(home, with_jobs=with_jobs)
        if running is not None:
            running.start()
        try:
            console.print(f"serving {home.settings.issuer} on {home.settings.listen_host}:{home.settings.listen_port}")
            server(home, app).run()
        finally:
            if running is not None:
                running.stop()
