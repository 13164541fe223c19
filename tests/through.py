"""An httpx client whose every request goes through the application in process, for clients that want one."""

import asyncio

import httpx

from tests.attacks.bent_client import ISSUER, Door


def through(door: Door) -> httpx.Client:
    """Give a client of the door; its base is the issuer."""

    def pass_on(request: httpx.Request) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        answer = door.call(request.method, str(request.url), content=request.content, headers=headers)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    return httpx.Client(transport=httpx.MockTransport(pass_on), base_url=ISSUER)


def through_async(door: Door) -> httpx.AsyncClient:
    """Give an awaited client of the door, for calls one after the other."""
    inner = through(door)

    async def pass_on(request: httpx.Request) -> httpx.Response:
        def send() -> httpx.Response:
            return inner.request(request.method, str(request.url), content=request.content, headers=request.headers)

        answer = await asyncio.to_thread(send)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    return httpx.AsyncClient(transport=httpx.MockTransport(pass_on), base_url=ISSUER)
