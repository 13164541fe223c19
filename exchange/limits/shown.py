"""The headers in which a lender sees its limits (draft-ietf-httpapi-ratelimit-headers-10). Pure.

  RateLimit-Policy: "burst";q=200;w=4, "day";q=200000;w=86400, …    what the limits are
  RateLimit:        "burst";r=199;t=1, "day";r=199993;t=3600, …     what is left, and in how many seconds all is again

They are about the caller's own limits alone, never about a subject's.
"""

from collections.abc import Sequence

from exchange.limits.deciding import Left


def headers(left: Sequence[Left]) -> dict[str, str]:
    """Write the headers of an answer; none where nothing was counted."""
    if not left:
        return {}
    return {
        "RateLimit-Policy": ", ".join(f'"{one.name}";q={one.quota};w={one.window_seconds}' for one in left),
        "RateLimit": ", ".join(f'"{one.name}";r={one.left};t={one.seconds}' for one in left),
    }
