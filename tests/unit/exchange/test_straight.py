"""The shortest way: what it is for, what goes on, and what becomes of errors on it."""

import asyncio
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from exchange.straight import Doors


class Seen:
    """A layer that notes which route was called, and what came out of what it surrounds."""

    def __init__(self, app: ASGIApp, *, seen: list[Any]) -> None:
        self._app, self._seen = app, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except ZeroDivisionError as error:
            self._seen.append(error)
            await Response("outermost", 500)(scope, receive, send)
        else:
            self._seen.append(getattr(scope.get("route"), "path", None))


def built() -> tuple[FastAPI, list[Any]]:
    async def here(request: Request) -> Response:
        body = (await request.body()).decode()
        if body == "teapot":
            raise HTTPException(418)
        if body == "nobody":
            raise ZeroDivisionError
        return Response(f"{body} {request.app.state.of}")

    app, seen = Doors(docs_url=None, redoc_url=None, openapi_url=None), list[Any]()
    app.state.of = "here"
    app.straight = (Route("/here", here, methods=["POST"]),)
    app.router.routes[:0] = app.straight
    app.add_middleware(Seen, seen=seen)

    @app.get("/there/{name}")
    async def there(name: str) -> dict[str, str]:
        return {"name": name}

    @app.exception_handler(HTTPException)
    async def told(_: Request, error: HTTPException) -> Response:
        return Response(f"told {error.status_code}", error.status_code)

    return app, seen


def asked(app: FastAPI, method: str, path: str, body: str = "") -> httpx.Response:
    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return await client.request(method, path, content=body)

    return asyncio.run(go())


def test_a_straight_route_is_called_with_the_application_and_named() -> None:
    app, seen = built()
    assert asked(app, "POST", "/here", "I am").text == "I am here"
    assert seen == ["/here"]


def test_what_is_for_none_of_them_goes_on() -> None:
    app, seen = built()
    assert asked(app, "GET", "/there/b").json() == {"name": "b"}
    assert asked(app, "GET", "/here").status_code == 405
    assert asked(app, "POST", "/elsewhere").text == "told 404"
    assert seen[0] == "/there/{name}"


def test_what_a_straight_route_raises_is_told_by_the_same_handlers() -> None:
    app, seen = built()
    answer = asked(app, "POST", "/here", "teapot")
    assert (answer.status_code, answer.text) == (418, "told 418")
    assert seen == ["/here"]


def test_what_no_handler_knows_reaches_the_outermost_layer_unanswered() -> None:
    app, seen = built()
    answer = asked(app, "POST", "/here", "nobody")
    assert (answer.status_code, answer.text) == (500, "outermost")
    assert isinstance(seen[0], ZeroDivisionError)
