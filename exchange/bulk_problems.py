"""Problems of lenders' batches of questions, as `problems` publishes them: status, code, titles, cause and mend."""

from typing import Final

TEXTS: Final[tuple[tuple[int, str, str, str, str, str], ...]] = (
    (404, "bulk-unknown", "No such batch of questions", "批量查询不存在",
     "no batch of questions of your system has this id, or it has no such part", "use an id from your list of batches"),
    (409, "bulk-pending", "The part is not ready", "结果尚未就绪",
     "some of its lines have not been answered yet", "come again after the seconds that Retry-After says"),
    (410, "bulk-over", "The batch is over", "批量查询已结束",
     "the time in which its results could be had is over, or it takes no more bytes", "hand in a new batch"),
    (429, "bulk-too-many", "Too many batches are under way", "进行中的批量查询过多",
     "a system has a limit of batches that are not finished", "wait until one is finished, or cancel one by DELETE"),
    (403, "bulk-token", "This token asks for one person only", "该令牌仅可查询一名信息主体",
     "a token that rests on one person's agreement opens no door to batches, outcomes or notices",
     "use a token of client_credentials"),
    (409, "bulk-key-missing", "No key for encryption is registered", "未登记加密公钥",
     "results are sealed to a key of yours, and none is registered",
     "have the operator register one: qingqiao lender encryption-key"),
    (413, "line-too-long", "The line is too long", "该行过长",
     "a line of a batch has at most 16 KiB", "ask for fewer items, or ask it by itself"),
)  # fmt: skip
