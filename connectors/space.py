"""Writing where there may be no space left: said as such, and nothing half written stays.

A full disk must not look like a broken file of the sender, or like a source that does not answer: whoever reads those
errors would mend the wrong thing. So it leaves here as an error of its own, which is no OSError.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from connectors.errors import StorageFull

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def writing(draft: Path | None = None) -> Iterator[None]:
    """Write in the block; if that fails, a draft that has a name is taken away.

    Raises:
        StorageFull: there is no space left.
        OSError: it failed otherwise.
    """
    try:
        yield
    except BaseException as error:
        if draft is not None:
            draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            raise StorageFull(
                "平台存储空间不足，未保留任何内容；清理空间后重试 (no space left; nothing was kept)"
            ) from error
        raise
