"""`qingqiao serve`: the web process of an installation, with the scheduled jobs in it unless they run elsewhere.

It ends (SIGTERM, Ctrl-C) so that nobody's request is lost while another process goes on serving:
  1. no new connection is taken: whoever wants one is refused before a byte was sent, and goes elsewhere
  2. what was begun is finished; every answer from now on says `Connection: close`
  3. a connection on which nothing is asked stays open for a moment, for a question may be on its way to it; what comes
     within that moment is answered, and the connection then closed
  4. idle connections are closed, and the gate and the jobs are ended
"""

import asyncio
import signal
import socket
from typing import Annotated, Final

import typer
import uvicorn
from fastapi import FastAPI

from exchange import journal
from exchange.app import create_app
from exchange.cli.context import console, opened
from exchange.connections import bounded
from exchange.garbage import spare_the_collector
from exchange.home import Home
from exchange.jobs import Jobs
from exchange.limits import declared

SHUTDOWN_SECONDS: Final = 10  # for requests under way; who watches an upload, or sends one slowly, is then let go of
PARTING_SECONDS: Final = 1.0  # for a question on its way to a connection that looked idle: many times any line
_LOOK_SECONDS: Final = 0.02


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def together(home: Home, *, with_jobs: bool) -> tuple[FastAPI, Jobs | None]:
    """Make the application, and the jobs if they run in here too: then /metrics tells of both."""
    app = create_app(home)
    return app, Jobs(home, metrics=app.state.metrics.registry) if with_jobs else None


class Parting(uvicorn.Server):
    """A web server that takes leave of its connections: see the module's header, 1 to 4."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take leave, then end as uvicorn does."""
        for listening in self.servers:
            listening.close()  # 1
        self.server_state.default_headers.append((b"connection", b"close"))  # 2, 3
        for connection in list(self.server_state.connections):
            if not _idle(connection):
                connection.shutdown()  # 2: its answer was begun with the headers of before
        loop = asyncio.get_running_loop()
        until = loop.time() + PARTING_SECONDS
        while self.server_state.connections and not self.force_exit and loop.time() < until:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(_LOOK_SECONDS)  # 3
        await super().shutdown(sockets)  # 4


def _idle(connection: object) -> bool:
    cycle = getattr(connection, "cycle", None)  # of the request that came last
    return cycle is None or bool(cycle.response_complete)


def server(home: Home, app: FastAPI | None = None) -> uvicorn.Server:
    """Make the web server over an opened home; its own access log is off, for it would log addresses whole."""
    chosen, app = home.settings, app or create_app(home)
    spare_the_collector()
    limits = declared.of(chosen.limits)
    config = uvicorn.Config(
        app,
        host=chosen.listen_host,
        port=chosen.listen_port,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        http=bounded(limits.connections, chosen.tls_proxy),
        ws="none",
        timeout_keep_alive=limits.connections.idle_seconds,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return Parting(config)


def serve(
    *,
    with_jobs: Annotated[bool, typer.Option("--jobs/--no-jobs", help="Run the scheduled jobs in here too.")] = True,
) -> None:
    """Serve the doors of this installation until Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn hands it on when it has ended: the rest is to end in order
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
