"""Problems of subscriptions and webhooks, as `problems` publishes them: status, code, titles, cause and mend."""

from typing import Final

TEXTS: Final[tuple[tuple[int, str, str, str, str, str], ...]] = (
    (404, "subscription-unknown", "No such subscription", "订阅不存在",
     "no subscription of your organisation has this id", "use an id from your list of subscriptions"),
    (404, "webhook-unknown", "No address is registered", "未登记推送地址",
     "your organisation has registered no address for the events of its subscriptions",
     "register one: PUT /v1/webhook"),
    (403, "other-consent", "The token rests on another consent", "令牌所依据的授权不同",
     "a token that rests on one person's agreement subscribes under that consent alone",
     "leave consent_id out, or use a token of client_credentials"),
)  # fmt: skip
