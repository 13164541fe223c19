"""The agencies' doors (数据提供单位): hand over files, see what became of them, sign for them, mend them.

An agency sees what its own organisation delivered, and nothing else: what is another's is answered as what does not
exist. What is shown of a batch are counts, codes, row numbers and columns, never a value of a row, and of people
without a consent a count at most: whoever delivers must not learn who seeks credit.
"""

from fastapi import APIRouter

from exchange.agency_api import batches, disputes, findings, manifests, mending, progress, quarantine, uploads
from exchange.agency_api.pace import Pace
from exchange.home import Home


def build_router(home: Home) -> APIRouter:
    """Build the agencies' routes over an installation."""
    router = APIRouter()  # each door states its whole address, which whoever walks the doors reads
    pace = Pace()
    for door in (uploads, progress, manifests, findings, disputes):
        router.routes.extend(door.build_router(home).routes)
    for costly in (batches, mending, quarantine):
        router.routes.extend(costly.build_router(home, pace).routes)
    return router
