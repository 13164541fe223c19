"""The control door of running agencies: loopback HTTP, and a token that is made anew with each start.

  GET    /                    what is switched on, by agency
  PUT    /{agency}/{fault}    switch on: {"times": 3, "amount": 2.5, "share": 0.5}, each optional
  DELETE /{agency}/{fault}    switch off; `all` for every fault of the agency
  POST   /{agency}/advance    let things change: {"count": 3}

It is the sandbox's own and no agency has it; whoever knows the token may do all of it. `Control` is its client.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import httpx
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.agencies.faults import Fault
from sandbox.agencies.listening import listening
from sandbox.agencies.running import Agency

_ALL: Final = "all"


class NotDone(Exception):
    """The running sandbox refused; the message says why."""


@dataclass(frozen=True)
class Control:
    """Where a running sandbox is controlled; `held` and `of` write it down and read it back."""

    url: str
    token: str = field(repr=False)

    @property
    def held(self) -> dict[str, str]:
        """What to keep in a file that only its owner can read."""
        return {"url": self.url, "token": self.token}

    @classmethod
    def of(cls, held: Mapping[str, str]) -> "Control":
        """Read back what `held` gave."""
        return cls(held["url"], held["token"])

    def standing(self) -> dict[str, Any]:
        """Say what is switched on, by agency."""
        return self._call("GET", "/")

    def switch_on(
        self,
        agency: str,
        fault: str,
        *,
        times: int | None = None,
        amount: float | None = None,
        share: float | None = None,
    ) -> dict[str, Any]:
        """Switch a fault on.

        Raises:
            NotDone: no such agency or fault, or a value out of range.
        """
        given = {"times": times, "amount": amount, "share": share}
        return self._call("PUT", f"/{agency}/{fault}", {name: one for name, one in given.items() if one is not None})

    def switch_off(self, agency: str, fault: str = _ALL) -> dict[str, Any]:
        """Switch a fault off, or all of an agency's.

        Raises:
            NotDone: no such agency or fault.
        """
        return self._call("DELETE", f"/{agency}/{fault}")

    def advance(self, agency: str, count: int) -> dict[str, Any]:
        """Let things change at an agency.

        Raises:
            NotDone: no such agency, or fewer than one.
        """
        return self._call("POST", f"/{agency}/advance", {"count": count})

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            response = httpx.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=30)
        except httpx.HTTPError:
            raise NotDone("the sandbox does not answer; is `qingqiao sandbox up` still running?") from None
        said: dict[str, Any] = response.json()
        if not response.is_success:
            raise NotDone(str(said.get("message", response.status_code)))
        return said


@contextlib.contextmanager
def controlled(agencies: Mapping[str, Agency]) -> Iterator[Control]:
    """Open the control door of these agencies; give its client."""
    token = uuid4().hex
    door = _Door(agencies, token)
    app = Starlette(
        routes=[
            Route("/", door.standing, methods=["GET"]),
            Route("/{agency}/advance", door.advance, methods=["POST"]),
            Route("/{agency}/{fault}", door.switch, methods=["PUT", "DELETE"]),
        ]
    )
    with listening(app, "sandbox-control") as port:
        yield Control(f"http://127.0.0.1:{port}", token)


class _Door:
    def __init__(self, agencies: Mapping[str, Agency], token: str) -> None:
        self._agencies = agencies
        self._token = token

    async def standing(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        return JSONResponse({name: one.faults.standing for name, one in self._agencies.items()})

    async def switch(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        faults = self._agencies[request.path_params["agency"]].faults
        named = request.path_params["fault"]
        try:
            chosen = list(faults.known) if named == _ALL else [Fault(named)]
            if request.method == "DELETE":
                await run_in_threadpool(faults.off, *chosen)
            else:
                given = await _body(request)
                for fault in chosen:
                    await run_in_threadpool(faults.on, fault, **given)
        except ValueError as error:
            return JSONResponse({"message": str(error)}, 400)
        return JSONResponse(faults.standing)

    async def advance(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        count = (await _body(request)).get("count")
        if not isinstance(count, int) or count < 1:
            return JSONResponse({"message": "count is a whole number from 1"}, 400)
        await run_in_threadpool(self._agencies[request.path_params["agency"]].advance, count)
        return JSONResponse({"advanced": count})

    def _refused(self, request: Request) -> Response | None:
        if not _same(request.headers.get("authorization", ""), f"Bearer {self._token}"):
            return JSONResponse({"message": "the token is not the one of this start"}, 401)
        agency = request.path_params.get("agency")
        if agency is not None and agency not in self._agencies:
            return JSONResponse({"message": f"no such agency; there are: {', '.join(self._agencies)}"}, 404)
        return None


def _same(given: str, expected: str) -> bool:
    """Compare in a time that does not depend on where the texts differ: every byte is looked at."""
    one, other = given.encode(), expected.encode()
    if len(one) != len(other):
        return False
    differing = 0
    for left, right in zip(one, other, strict=True):
        differing |= left ^ right
    return differing == 0


async def _body(request: Request) -> dict[str, Any]:
    """Read a JSON object of switches; nothing at all is an empty one.

    Raises:
        ValueError: not an object of numbers.
    """
    if not await request.body():
        return {}
    given = await request.json()
    names = {"times", "amount", "share", "count"}
    if not isinstance(given, dict) or given.keys() - names or not all(_is_number(one) for one in given.values()):
        raise ValueError("a JSON object of numbers is expected: times, amount, share")
    return given


def _is_number(one: object) -> bool:
    return isinstance(one, int | float) and not isinstance(one, bool)
