"""The shortest way through the application, for the doors that are asked hundreds of times a second.

FastAPI wraps what it is given in four layers and looks through all routes for each request. Of these layers two are
none of ours: the envelope answers whatever fails, and counts the bytes of a body. The others, and the looking, serve
routes that have FastAPI read and write for them. So `Doors` leaves out the first two, and `Straight` calls a plain
route by its method and path, before the others. What a route raises becomes a problem by the same handlers.

Not here: what is asked of a request before it comes so far (`exchange.envelope`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, ExceptionHandler, Receive, Scope, Send

HANDLERS: Final = "starlette.exception_handlers"  # where a route looks for what makes an answer of what it raised


class Doors(FastAPI):
    """FastAPI, surrounded by our own middleware alone.

    The outermost must answer whatever fails: there is nothing around it.
    """

    straight: Sequence[Route] = ()

    def build_middleware_stack(self) -> ASGIApp:
        """Put the layers together; called once, with the first request."""
        handlers: Mapping[Any, ExceptionHandler] = self.exception_handlers
        app: ASGIApp = ExceptionMiddleware(AsyncExitStackMiddleware(self.router), handlers=handlers)
        app = Straight(app, self.straight, handlers)
        for layer, args, options in reversed(self.user_middleware):
            app = layer(app, *args, **options)
        return app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass to the outermost layer, as Starlette does; FastAPI would ask for telemetry first, which nobody reads."""
        await Starlette.__call__(self, scope, receive, send)


class Straight:
    """Calls some plain routes directly; what is for none of them goes on."""

    def __init__(self, app: ASGIApp, routes: Sequence[Route], handlers: Mapping[Any, ExceptionHandler]) -> None:
        """Take routes whose paths have no parameters, and the handlers of what they raise."""
        self._app = app
        self._routes = {(method, route.path): route for route in routes for method in route.methods or ()}
        self._handlers: tuple[Mapping[Any, ExceptionHandler], Mapping[int, ExceptionHandler]] = (handlers, {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the route of this method and path, or pass on."""
        route = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route  # journal and metrics name it
        scope[HANDLERS] = self._handlers
        await route.app(scope, receive, send)
