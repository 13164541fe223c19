"""Problems (RFC 9457): the one place where errors and refusals become status codes and texts.

Every problem has a code that never changes its meaning, a type address that a person can open
(`<issuer>/problems/<code>`), a title in English and Chinese, its cause and how to mend it. Answers carry
nothing of the request: what was sent may be somebody's identifier.

A refusal by the consent decision has the code of its reason (`consent.decision.Reason`); a test holds
the two equal. An unknown subject is `no-consent`: there is no code that tells it apart.

Not here: errors of the token endpoint, which RFC 6749 prescribes (`oauth.server`).
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any, Final

import orjson
import yaml
from starlette.responses import Response

from exchange import agency_problems, bulk_problems, client_problems, limit_problems, monitoring_problems
from exchange.errors import (
    CredentialsMissing,
    CredentialsRefused,
    ExchangeError,
    KeyRefused,
    OutOfService,
    ProofRefused,
    RequestRefused,
    ScopeMissing,
    TokenRefused,
)

MEDIA_TYPE: Final = "application/problem+json"
_ALGORITHMS: Final = "ES256 PS256 Ed25519 EdDSA"


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem, as it is published."""

    code: str
    status: int
    title: str
    title_zh: str
    cause: str
    mend: str

    def document(self, issuer: str) -> dict[str, Any]:
        """Return the published description."""
        return {
            "type": address(issuer, self.code), "code": self.code, "status": self.status, "title": self.title,
            "title_zh": self.title_zh, "cause": self.cause, "cause_zh": self.cause_zh, "mend": self.mend,
            "mend_zh": self.mend_zh,
        }  # fmt: skip

    @property
    def cause_zh(self) -> str:
        """The cause in Chinese."""
        return chinese()[self.code][0]

    @property
    def mend_zh(self) -> str:
        """How to mend it, in Chinese."""
        return chinese()[self.code][1]


@cache
def chinese() -> Mapping[str, tuple[str, str]]:
    """Give causes and mends in Chinese by code, from problems_zh.yml."""
    written = yaml.safe_load((resources.files("exchange") / "problems_zh.yml").read_text("utf-8"))
    return {code: (cause, mend) for code, (cause, mend) in written.items()}


def _p(status: int, code: str, title: str, title_zh: str, cause: str, mend: str) -> Problem:
    return Problem(code, status, title, title_zh, cause, mend)


_REFUSALS: Final = (
    _p(403, "no-consent", "No consent covers this query", "没有有效授权",
       "no consent of this subject names you and this purpose, or no such subject is known here",
       "obtain the subject's consent for you and this purpose, then ask again"),
    _p(403, "not-yet-given", "The consent was requested but not given", "授权尚未签署",
       "the subject has not yet agreed", "wait for the subject's agreement"),
    _p(403, "withdrawn", "The consent was withdrawn", "授权已撤回",
       "the subject withdrew the consent", "do not ask again unless the subject gives a new consent"),
    _p(403, "expired", "The consent has expired", "授权已到期",
       "the consent's period is over", "obtain a new consent if you still need the data"),
    _p(403, "not-yet-valid", "The consent is not valid yet", "授权尚未生效",
       "the consent's period begins later", "ask within the consent's period"),
    _p(403, "paused", "The consent is paused", "授权已暂停",
       "the subject paused the consent", "wait until the subject resumes it"),
    _p(403, "superseded", "The consent was replaced by a later one", "授权已被新授权取代",
       "the subject gave another consent in its place", "ask within the later consent"),
    _p(403, "items-not-covered", "The consent does not cover these items", "授权范围不含所查数据项",
       "no single consent covers all items asked for", "ask for fewer items, or obtain a consent that covers them"),
    _p(403, "items-outside-purpose", "The purpose does not allow these items", "查询目的不允许所查数据项",
       "an item is outside what this purpose may ever use", "ask for items that the purpose's template lists"),
    _p(403, "mode-too-high", "The consent does not allow this answer mode", "授权不允许该应答方式",
       "the consent names a lower highest mode", "ask in a lower mode, such as verify"),
    _p(403, "history-too-long", "The consent does not reach back so far", "授权不含所查历史区间",
       "more months of history were asked for than the consent covers", "ask for fewer months"),
    _p(403, "adverse-consequences-not-acknowledged", "Items need a separate acknowledgement", "未书面告知不良后果",
       "an item may be collected only with written notice of adverse consequences, and the consent has none",
       "leave these items out, or obtain a consent with the acknowledgement"),
    _p(403, "uses-exhausted", "The consent's uses are exhausted", "授权使用次数已用完",
       "the consent's number of uses is reached", "obtain a new consent if you still need the data"),
    _p(403, "sensitive-not-agreed", "Sensitive items were not agreed to separately", "敏感信息未取得单独同意",
       "an item asked for (an account, assistance) needs an agreement of its own, and this consent has none",
       "ask without it, or obtain a consent with that agreement"),
    _p(403, "reconfirmation-due", "The consent has to be confirmed again", "授权须由本人再次确认",
       "its purpose asks for a confirmation from time to time, and the last one is too long ago",
       "ask the person to confirm it"),
    _p(403, "monthly-uses-exhausted", "This month's uses are exhausted", "本月授权使用次数已用完",
       "the consent's number of uses in one calendar month (Beijing) is reached", "ask again next month"),
    _p(403, "data-life-over", "The answer has outlived its data life", "查询结果已超过保存期限",
       "the days for which you may keep this answer are over; it is not opened again, nor is its full evidence",
       "delete what you hold of it; ask anew if you still need the data; redacted evidence can still be had"),
    _p(409, "recalled", "The agency has recalled what was answered", "数据已被提供单位撤回",
       "a record of the earlier answer was recalled by its agency after you received it; see /v1/notices",
       "ask again with a new Idempotency-Key; the evidence of the earlier answer can still be had"),
    _p(422, "nothing-asked", "Nothing was asked for", "未指定查询内容",
       "the query names no item", "name at least one item or class"),
    _p(422, "purpose-unknown", "Unknown purpose", "未知的查询目的",
       "the purpose is not in the catalogue of purposes", "use a published purpose code"),
    _p(403, "purpose-not-for-lenders", "The purpose is not for lenders", "该查询目的不适用于贷款机构",
       "the purpose is used by subjects about themselves, or within government", "ask for a purpose of your own"),
    _p(422, "business-number-missing", "The business number is missing", "缺少业务编号",
       "this purpose needs the number of the application or loan", "send business_no"),
)  # fmt: skip

_DOORS: Final = (
    _p(401, "credentials-missing", "Credentials are missing", "缺少访问凭证",
       "no access token under the DPoP scheme was presented", "get a token and present it with a proof"),
    _p(401, "token-invalid", "The access token is not valid", "访问令牌无效",
       "the token is not ours, has expired, was taken back, or its client is not active", "get a new token"),
    _p(401, "proof-invalid", "The DPoP proof is not valid", "持有证明无效",
       "it does not fit this request, token or moment, or was used before", "sign a new proof for every request"),
    _p(403, "scope-missing", "The token does not reach this door", "令牌权限不足",
       "the token lacks the scope that this interface asks for", "get a token with the scope, if you may hold it"),
    _p(400, "request-malformed", "The request cannot be read", "请求无法解析",
       "the body is not of the type, encoding or syntax expected", "compare the request with the OpenAPI description"),
    _p(422, "request-invalid", "The request does not hold what is needed", "请求内容不符合要求",
       "a member is missing, unknown or of the wrong form; `errors` says where", "correct what `errors` points to"),
    _p(404, "not-found", "There is nothing here", "资源不存在",
       "no such address, or nothing there that is yours", "check the address"),
    _p(422, "identifier-malformed", "The identifier is malformed", "证件号码或代码格式有误",
       "its length, characters or check do not fit its type", "correct the identifier; it is not repeated here"),
    _p(422, "item-unknown", "Unknown item", "未知的数据项",
       "an item that the catalogue does not have", "see /v1/catalogue"),
    _p(400, "idempotency-key-malformed", "The Idempotency-Key is malformed", "幂等键格式有误",
       "it is not 8 to 128 printable ASCII characters", "send a random key, such as a UUID"),
    _p(404, "query-unknown", "No such query", "查询不存在",
       "no query of yours has this id", "use the query_id that an answer of yours carried"),
    _p(409, "outcome-reference-reused", "The reference was reported with other content", "回报编号已用于其他内容",
       "an outcome with this reference of yours is on record, and says something else",
       "report a correction under a reference of its own"),
    _p(422, "outcome-date", "No outcome may bear this date", "结果日期不符合要求",
       "it lies before the query, or in the future", "give the day on which it happened, in Beijing"),
    _p(422, "consent-terms", "No consent may be recorded on these terms", "授权条款不符合要求",
       "the purpose, items, dates, caps or evidence are not what a consent may state; `detail` names the first fault",
       "correct it; the published purposes and the catalogue say what may be stated"),
    _p(409, "consent-ended", "The consent has ended", "授权已终止",
       "it expired, was replaced or withdrawn; no step leads out of that", "obtain a new consent if one is needed"),
    _p(404, "consent-unknown", "No such consent", "授权不存在",
       "no consent that names you has this id", "use the id that the consent was given under"),
    _p(403, "binding-refused", "The phone is not bound", "未能绑定手机",
       "person and code do not belong together, the code is over, or the key is bound already; which, is not said",
       "ask for a new code in person, with the resident card"),
    _p(422, "binding-child", "A child under 14 has no phone of its own here", "未满十四周岁不能绑定本人手机",
       "a guardian acts for a child", "let the guardian act at the counter"),
    _p(429, "too-often", "Too often", "操作过于频繁",
       "this was done as often as it may be for now; `detail` says what", "come again later"),
    _p(404, "phone-unknown", "No such phone", "手机不存在",
       "no phone of yours that this could be done with has this id", "use an id from your list of phones"),
    _p(403, "phone-on-trial", "The phone is on trial", "手机尚在观察期",
       "for 72 hours a first phone opens no records, disputes nothing and agrees to nothing for whoever gave its code",
       "come back when 72 hours are over since it was bound; until then the counter does it on paper"),
    _p(404, "record-unknown", "No such record", "记录不存在",
       "no record of yours that stands has this id, version and item", "use them as your records show them"),
    _p(409, "dispute-open", "The item is disputed already", "该项已在异议处理中",
       "a dispute of this item of this record is open", "wait for its answer; your list of disputes says until when"),
    _p(404, "dispute-unknown", "No such dispute", "异议不存在",
       "no dispute that your organisation has to answer has this id", "use the id from your list of disputes"),
    _p(409, "dispute-answered", "The dispute is answered", "该异议已答复",
       "an answer is given once", "tell the operator if the answer was wrong"),
    _p(404, "complaint-unknown", "No such complaint", "投诉不存在",
       "no complaint that waits has this number", "use a number from the list of those that wait"),
    _p(422, "words-name-somebody", "The text holds an identifier", "文字中含有证件号码或代码",
       "a resident id or a credit code stands in it", "leave the number out; it is not needed"),
    _p(422, "evidence-malformed", "The evidence hash is not one", "证据哈希值有误",
       "it is not the SHA-256 of a file that holds something", "send the SHA-256 of the scan or file"),
    _p(405, "method-not-allowed", "The method is not allowed here", "不支持的请求方法",
       "this address takes other methods", "see the Allow header"),
    _p(408, "request-too-slow", "The body came too slowly", "请求体传输过慢",
       "the whole body is to be here within some seconds", "send it at once, over a better line"),
    _p(413, "body-too-large", "The body is too large", "请求体过大",
       "the body is longer than this interface reads", "send less at a time"),
    _p(409, "idempotency-key-reused", "The Idempotency-Key was used with another body", "幂等键已用于其他请求",
       "the same key came before with a different request", "use a new key for a new request"),
    _p(422, "client-unregistrable", "The client cannot be registered so", "客户端注册信息有误",
       "the id is taken or malformed, or a scope is not of the role", "correct the registration"),
    _p(422, "key-unacceptable", "The public key is not acceptable", "公钥不符合要求",
       "the key's kind, size or form is not accepted", "use the public half of a P-256, Ed25519 or RSA-2048 key"),
    _p(429, "requests-too-many", "Too many requests to people are open", "未答复的授权请求过多",
       "an organisation has a limit of requests to phones that are pending",
       "come again after the seconds that Retry-After says, when the oldest of them has ended"),
    _p(404, "request-unknown", "No such request", "请求不存在",
       "no open request of yours has this id", "use the id from your list of requests; one that ended is not shown"),
    _p(409, "text-changed", "The text has changed", "授权说明已更新",
       "a newer text, or other terms, stand in the place of what was shown", "read what is shown now, then decide"),
    _p(422, "nothing-agreed", "Nothing is left to agree to", "没有可同意的内容",
       "everything asked for needs an act of its own, and none was done", "do these acts, or refuse"),
    _p(422, "collector-unknown", "No such collector", "采集人未登记",
       "the consent names no collector, or one who may not collect for you at that moment",
       "have the operator register the collector: qingqiao lender collector add"),
    _p(409, "collector-taken", "The code is taken", "采集人代码已被使用",
       "a collector's code is never given to somebody else", "choose another code"),
    _p(422, "witness-missing", "A witness is needed", "缺少见证人",
       "the text was read out to a person who did not read it, and nobody witnessed that",
       "take it again before a witness, and name the witness"),
    _p(422, "witness-unfit", "This witness does not count", "见证人不符合要求",
       "the witness is a minor, the person who consents, or collects for the recipient",
       "take it before somebody else"),
    _p(422, "began-before", "It would begin before it was taken", "生效日早于签署日",
       "the first day lies before the day on which the person agreed", "state a later first day, or leave it out"),
    _p(404, "paper-unknown", "No such paper", "纸质授权不存在",
       "no paper (or scan) of your organisation has this id", "use the id from your list of papers"),
    _p(409, "paper-settled", "The paper is settled", "纸质授权已办结",
       "it was confirmed, refused, or its time is over", "enter the paper anew if it is still good"),
    _p(409, "paper-known", "The paper was entered before", "该纸质授权已录入",
       "the same original waits for confirmation or is confirmed", "look for it in your list of papers"),
    _p(422, "paper-too-old", "The paper's date does not do", "签署日期不符合要求",
       "it was signed in the future, or more than 60 days ago", "have a new paper signed"),
    _p(409, "paper-differs", "Paper and entry differ", "原件或条款与录入不符",
       "person, witness, hash of the paper in hand, or the terms or scan looked at, are not those entered",
       "compare again; if the entry is wrong, refuse it with terms-differ and have it entered anew"),
    _p(403, "paper-anothers", "Another system entered the paper", "该纸质授权由另一系统录入",
       "only the system that entered a paper puts its scan", "have it put by the system that entered the paper"),
    _p(422, "fingerprints-not-redacted", "Fingerprints must be blacked out first", "指印须先行遮盖",
       "a copy with a fingerprint must not leave the collector (征信业管理条例 §14)",
       "black the prints out, destroy other copies, then enter the paper and say so"),
    _p(422, "scan-refused", "The scan is not taken", "扫描件不符合要求",
       "it is no JPEG, PNG or PDF by its first bytes and Content-Type, or larger than 2 MiB",
       "scan it smaller, or send no scan: the hash of the original is enough"),
    _p(410, "subject-erased", "The person's data were erased", "本人信息已删除",
       "nothing more is kept of this person under this number", "ask the operator"),
    _p(404, "device-unknown", "No such device", "采集设备不存在",
       "no device of your organisation has this id", "have it registered: qingqiao lender device add"),
    _p(409, "device-ended", "The device has been ended", "采集设备已停用",
       "nothing that it signs is taken any more", "register a new device, and ask the people concerned again"),
    _p(409, "device-blocked", "The device is blocked", "采集设备已锁定",
       "its chain forked, so that two different records stand under one number",
       "have the operator look at it; then register a new one and ask the people concerned again"),
    _p(422, "head-refused", "The head is not taken", "设备链头无效",
       "its form, signature or clock does not hold, or it lies behind one that was announced; `detail` says which",
       "set the device's clock and announce again"),
    _p(422, "events-url", "Events cannot be sent there", "不能向该地址推送事件",
       "the address is not https with a public host, or has a user, a query or a fragment",
       "have the operator register another: qingqiao lender events-url; for subscriptions: PUT /v1/webhook"),
    _p(422, "deletion-basis", "The ground does not fit", "保留依据有误",
       "data kept by law needs a known code of its ground, and deleted data none",
       "send outcome deleted alone, or frozen_by_law with a legal_basis of docs/consent.md"),
    _p(409, "deletion-settled", "Something else was said before", "该删除通知已答复",
       "what was deleted is not kept, and one ground does not take another's place",
       "tell the operator if it was wrong"),
    _p(422, "figures-month", "The month is not told", "该月份暂不提供统计",
       "it is no month, or one that is not over in Beijing", "ask for a month that is over, as 2026-05"),
    _p(503, "out-of-service", "Temporarily out of service", "服务暂不可用",
       "a part that is needed cannot be reached; nothing was released or changed", "try again after Retry-After"),
    _p(500, "internal", "Something failed inside", "内部错误",
       "a mistake of ours; nothing was released", "report the X-Request-Id to the operator"),
)  # fmt: skip

_ELSEWHERE: Final = tuple(
    _p(*text)
    for texts in (agency_problems, bulk_problems, client_problems, limit_problems, monitoring_problems)
    for text in texts.TEXTS
)
CATALOGUE: Final[Mapping[str, Problem]] = {problem.code: problem for problem in (*_REFUSALS, *_DOORS, *_ELSEWHERE)}

_CODES_OF_ERRORS: Final[tuple[tuple[type[ExchangeError], str], ...]] = (
    (CredentialsMissing, "credentials-missing"),
    (TokenRefused, "token-invalid"),
    (ProofRefused, "proof-invalid"),
    (ScopeMissing, "scope-missing"),
    (KeyRefused, "key-unacceptable"),
    (OutOfService, "out-of-service"),
)
_COME_AGAIN: Final = frozenset(
    {"out-of-service", "upload-busy", "uploads-too-many", "asked-too-fast", "requests-too-many"}
)
_CHALLENGES: Final = {
    "credentials-missing": "",
    "token-invalid": 'error="invalid_token", ',
    "proof-invalid": 'error="invalid_dpop_proof", ',
    "scope-missing": 'error="insufficient_scope", ',
}
_RETRY_AFTER_SECONDS: Final = "5"
_CHECKSUM_MISMATCH: Final = 460  # of tus 1.0; HTTP itself has no such status
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457 problem",
    "required": ["type", "title", "title_zh", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "title_zh": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(CATALOGUE)},
        "detail": {"type": "string"},
        "request_id": {"type": "string", "description": "as in X-Request-Id; name it to the operator"},
    },
}
REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)  # of the request that is answered


@dataclass(frozen=True, slots=True)
class Told:
    """A problem ready to be sent."""

    status: int
    body: bytes
    headers: dict[str, str]


def address(issuer: str, code: str) -> str:
    """Return the type address of a problem."""
    return f"{issuer}/problems/{code}"


def tell(issuer: str, code: str, *, detail: str | None = None, more: Mapping[str, Any] | None = None) -> Told:
    """Make the answer for a problem.

    Args:
        issuer: this exchange's address.
        code: a code of the catalogue.
        detail: one fixed sentence; nothing of the request.
        more: further members of the problem object, nothing of the request either.

    Raises:
        KeyError: the code is not in the catalogue; a mistake in the program.
    """
    problem = CATALOGUE[code]
    body: dict[str, Any] = {
        "type": address(issuer, code), "title": problem.title, "title_zh": problem.title_zh,
        "status": problem.status, "code": code, "detail": detail or f"{problem.cause}: {problem.mend}",
    }  # fmt: skip
    if (request_id := REQUEST_ID.get()) is not None:
        body["request_id"] = request_id
    headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}
    if code in _CHALLENGES:
        headers["WWW-Authenticate"] = f'DPoP {_CHALLENGES[code]}algs="{_ALGORITHMS}"'
    if code in _COME_AGAIN:
        headers["Retry-After"] = _RETRY_AFTER_SECONDS
    return Told(problem.status, orjson.dumps({**body, **(more or {})}), headers)


def refusal(reason: str, query_id: object, *, issuer: str = "") -> Response:
    """Make the answer for a refusal by the decision; `query_id` finds it in the log.

    Without `issuer` the type is a relative address, which RFC 9457 §3.1.1 allows.

    Raises:
        KeyError: the reason is not in the catalogue; a mistake in the program.
    """
    told = tell(issuer, str(reason), more={"query_id": str(query_id)})
    return Response(told.body, told.status, told.headers)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what a route says in OpenAPI of the problems it answers with, each with its examples."""
    return {
        status: {
            "description": _phrase(status),
            "content": {MEDIA_TYPE: {"schema": SCHEMA, "examples": _examples(status)}},
        }
        for status in statuses
    }


@cache
def _examples(status: int) -> Mapping[str, Any]:
    """Give an example of each problem of a status; the same for every route, and never written to."""
    return {
        problem.code: {"summary": problem.title, "value": orjson.loads(tell("", problem.code).body)}
        for problem in CATALOGUE.values()
        if problem.status == status
    }


def _phrase(status: int) -> str:
    return "Checksum Mismatch" if status == _CHECKSUM_MISMATCH else HTTPStatus(status).phrase


def told_of(issuer: str, error: ExchangeError) -> Told:
    """Make the answer for an error of the doors."""
    if isinstance(error, RequestRefused):
        told = tell(issuer, error.code, detail=error.detail, more=error.more)
        told.headers.update(error.headers)
        if error.retry_after_seconds is not None:
            told.headers["Retry-After"] = str(error.retry_after_seconds)
        return told
    for kind, code in _CODES_OF_ERRORS:
        if isinstance(error, kind):
            scope = {"scope": error.scope} if isinstance(error, ScopeMissing) else None
            detail = str(error) if isinstance(error, CredentialsRefused) else None
            told = tell(issuer, code, detail=detail, more=scope)
            if isinstance(error, ScopeMissing):
                told.headers["WWW-Authenticate"] += f', scope="{error.scope}"'
            return told
    return tell(issuer, "internal")
