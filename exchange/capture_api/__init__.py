"""The lenders' doors for capture: requests to phones, consents on paper, chains of devices without signal.

  requests  POST /v1/consent-requests, GET /v1/consent-requests/{id}
  papers    /v1/paper-consents
  chains    POST /v1/consents/offline, /v1/capture-devices

Whoever calls has the scope `consents` and sees its own organisation's. What `consents` refuses is told with its code,
its cause and how to mend it, in Chinese and English; nothing that was sent is repeated.
"""

from fastapi import APIRouter

from exchange.capture_api import chains, papers, requests
from exchange.home import Home


def build_router(home: Home) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter()
    for door in (requests, papers, chains):
        router.routes.extend(door.build_router(home).routes)
    return router
