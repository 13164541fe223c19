"""Subscriptions (贷后监测): a lender hears that something about a person changed, and asks what by a normal query.

  declared    what can be told: the types of events, and which of them are warnings (`events.yml`)
  deciding    pure: what a change is called for one subscription, and when to try again
  keeping     subscriptions: listed, looked at, ended
  gathering   what happened, read from the log's own entries
  looking     what must be known of records for that, opened and compared
  making      the job that turns it into events, each exactly once; decided, opened and logged by `release.watching`
  reading     an organisation's events by cursor, as long as the consent under which they are told stands
  webhooks    where they are sent: registered, proved, paused, replayed
  delivering  the job that sends them, signed (RFC 9421), in their order
  models      what the doors read and write
  doors       the lenders' routes

An event holds no value and no identifier (docs/adr/0031).
"""
