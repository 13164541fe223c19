"""Problems of registrations, of a system's own keys and of staff lists, as `problems` publishes them."""

from typing import Final

TEXTS: Final[tuple[tuple[int, str, str, str, str, str], ...]] = (
    (403, "staff-not-listed", "Who asks is not on your list of staff", "查询人员不在本机构人员名单内",
     "your organisation keeps a list of its staff, and `staff` is missing, or is not on it today in that department",
     "name in `staff` who asks, put the person on the list at /v1/staff, or have somebody ask who is on it"),
    (422, "registration-malformed", "The registration cannot be taken so", "注册申请内容有误",
     "a member is missing, unknown or of the wrong form, `detail` says which",
     "correct it; docs/lenders.md has all members"),
    (403, "possession-unproven", "It is not proven that the keys are yours", "未能证明持有所登记的密钥",
     "a signature is missing or does not hold, `detail` says why, and each new key signs, for this exchange, now, once",
     "sign anew with each new key, and to change keys with one that stands"),
    (429, "registrations-too-many", "Too many registrations wait", "待审注册申请过多",
     "an organisation has a limit of requests that nobody has decided yet, and so has the exchange, also of an hour",
     "come again later, or hand the signed body to the operator as a file: what comes by hand has no limit"),
    (404, "registration-unknown", "No such registration request", "注册申请不存在",
     "no request has this id, or it was decided long ago", "use the id that the request was answered with"),
    (412, "keys-changed", "The keys are not those that you saw", "密钥集已变更",
     "If-Match is missing, or names another set than the one that stands",
     "read /v1/client/keys, and send its ETag as If-Match"),
    (409, "keys-by-url", "The keys are read from your address", "密钥由贵方网址提供",
     "this system is registered with a jwks_uri, and its keys are changed there", "publish the new set at the address"),
    (409, "key-anothers", "A key is registered already", "密钥已被登记",
     "a key of the set is another system's, or was taken out of use, for a key belongs to one system, once",
     "make a key of its own for each system"),
    (404, "staff-unknown", "Nobody of this code is on the list", "人员名单中无此代码",
     "no standing entry of your organisation has this user_id", "use a code from your list"),
    (409, "staff-alike", "The code is another's but for its case", "代码仅大小写与他人不同",
     "an entry of your list, perhaps a closed one, has this code in another case, and a code is one person's",
     "use the code as it stands on the list, or another one for another person"),
    (422, "staff-dates", "The dates do not do", "人员有效期不符合要求",
     "an entry ends after it begins, is not over already, and lasts a year at most",
     "give other dates; renew it each year"),
)  # fmt: skip
REFUSALS: Final = frozenset({"staff-not-listed"})  # reasons of the gate (`consent.decision.Reason`)
