"""Problems of limits, as `problems` publishes them: status, code, titles, cause and mend. Each says when."""

from typing import Final

TEXTS: Final[tuple[tuple[int, str, str, str, str, str], ...]] = (
    (429, "rate-exceeded", "Your system asks too fast", "系统查询过快",
     "a system asks (see RateLimit-Policy), and calls its other doors, so often at once and then a minute",
     "come again after the seconds that Retry-After says; send many questions as a batch"),
    (429, "user-rate-exceeded", "This user asks too fast", "该用户查询过快",
     "one user may ask so many questions within some minutes",
     "come again after the seconds that Retry-After says; a program's many questions go as a batch"),
    (429, "daily-cap", "Your system's questions of the day are used up", "系统当日查询量已达上限",
     "a system may ask so many questions a day (Beijing), lines of batches among them",
     "come again tomorrow, or have the operator give your system another cap"),
    (429, "monthly-cap", "Your system's questions of the month are used up", "系统当月查询量已达上限",
     "a system may ask so many questions a calendar month (Beijing), lines of batches among them",
     "come again next month, or have the operator give your system another cap"),
    (429, "user-daily-cap", "This user's questions of the day are used up", "该用户当日查询量已达上限",
     "one user may ask so many questions a day (Beijing)", "let a colleague ask, or come again tomorrow"),
    (429, "subject-cap", "This subject was asked about too often", "对同一主体查询过于频繁",
     "a lender may ask about one identifier so often a day and in 30 days, whether it is known here or not",
     "use the answer that you have, or come again tomorrow"),
    (429, "enumeration-suspected", "Too many refusals one after the other", "连续被拒，已暂停查询",
     "several questions were refused for want of a consent within some minutes; regulators are told of it (AQ17)",
     "ask only about people who agreed; come again after the seconds that Retry-After says"),
)  # fmt: skip
CODES: Final = frozenset(code for _, code, *_ in TEXTS)
