"""A feed is read strictly, and what is wrong is named by file, key and mend, never by value."""

from typing import Any

import pytest
import yaml

from connectors.errors import DeclarationInvalid
from connectors.feed import Feed, document_name, kinds_of, read
from connectors.protocols import SqlTransport
from connectors.source import current
from connectors.transports import sql

REST: dict[str, Any] = {"kind": "rest", "url": "https://a.example/rows", "columns": {"zjh": "身份证号"}}
SQL: dict[str, Any] = {
    "kind": "sql",
    "url": "postgresql://q@h/d",
    "view": "s.v",
    "columns": {"zjh": "身份证号"},
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA=="
SFTP: dict[str, Any] = {"kind": "sftp", "host": "h", "user": "q", "host_key": KEY}
SECRET = "hunter2-geheim"


def text(**over: Any) -> str:
    said = {"feed": "roster", "source": "subsidy_roster", "agency": "财政局", "transport": REST} | over
    return yaml.safe_dump({key: value for key, value in said.items() if value is not None}, allow_unicode=True)


def feed(**over: Any) -> Feed:
    return read("roster.yml", text(**over), current())


def test_a_whole_feed_is_read() -> None:
    found = feed(schedule={"cron": "0 3 * * *", "quiet": ["08:00-18:00"], "deadline": "PT2H"}, title="2025年名册")
    assert kinds_of(found) == ("SUBSIDY",)
    assert document_name(found) == "2025年名册.ndjson"
    assert found.schedule is not None
    assert found.schedule.deadline.total_seconds() == 7200


@pytest.mark.parametrize(
    ("over", "key"),
    [
        ({"agency": None}, "agency: 缺少此项"),
        ({"colour": 1}, "colour: 不认识的键"),
        ({"feed": "another"}, "feed: 须与文件名一致"),
        ({"source": "nobody"}, "source: 没有这个来源声明"),
        ({"kind": "SANZI"}, "kind: 该来源只有"),
        ({"transport": REST | {"kind": "fax"}}, "transport: 没有这种类型"),
        ({"transport": REST | {"colour": 1}}, "transport.colour: 不认识的键"),
        ({"transport": REST | {"url": "http://a.example/"}}, "transport.url: 须使用 https"),
        ({"transport": REST | {"url": f"https://q:{SECRET}@a.example/"}}, "transport.url: 地址中不得写账号密码"),
        ({"transport": REST | {"url": f"https://a.example/?key={SECRET}"}}, "transport.url: 须有主机名"),
        ({"transport": REST | {"id": "nr"}}, "transport: 所引用的列未在 columns 中登记"),
        ({"transport": SQL | {"url": f"postgresql://q:{SECRET}@h/d"}}, "transport.url: 地址中不得写密码"),
        ({"transport": SQL | {"view": 'v"; DROP TABLE t'}}, "transport.view: 格式不对"),
        ({"transport": SQL | {"changed_at": "zjh"}}, "transport: changed_at 与 id 须同时给出"),
        ({"transport": SQL | {"url": "postgresql://q@h/d?sslmode=disable"}}, "transport.url: 地址中不得写 sslmode"),
        (
            {"transport": SQL | {"url": "postgresql://q@localhost/d?hostaddr=::"}},
            "transport.url: 地址中不得写 host",
        ),
        ({"transport": SQL | {"url": "mysql+pymysql://q@h/d"}}, "transport: 此类数据库的加密无法核对"),
        ({"transport": SQL | {"tls": "private", "ca": "/ca.pem"}}, "transport: tls: private 与 ca"),
        ({"transport": SFTP | {"host_key": None}}, "transport.host_key:"),
        ({"transport": SFTP | {"pattern": "../*"}}, "transport.pattern: 格式不对"),
        ({"transport": {"kind": "folder", "path": "drop"}}, "transport.path: 须为绝对路径"),
        ({"filter": "subjects"}, "(file): filter: subjects 须与 transport.people"),
        ({"transport": REST | {"people": {"column": "zjh"}}}, "transport: people: 证件号只放请求体"),
        ({"schedule": {"cron": "daily"}}, "schedule.cron: 格式不对"),
        ({"schedule": {"cron": "0 3 * * *", "quiet": ["8-18"]}}, "schedule.quiet.0: 格式不对"),
        ({"limits": {"rows": 0}}, "limits.rows: 取值不对"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key(over: dict[str, Any], key: str) -> None:
    with pytest.raises(DeclarationInvalid) as refused:
        feed(**over)
    assert str(refused.value).startswith(f"feeds/roster.yml: {key}")
    assert SECRET not in str(refused.value)


def test_what_is_no_yaml_is_named_by_its_line() -> None:
    with pytest.raises(DeclarationInvalid, match=r"feeds/roster\.yml:2: 不是合法的 YAML"):
        read("roster.yml", "feed: [roster\nagency: x", current())


def test_a_kind_that_is_replaced_whole_needs_whole_sets() -> None:
    with pytest.raises(DeclarationInvalid, match="sets: 快照类数据"):
        feed(source="sanzi_ledger")
    assert feed(source="sanzi_ledger", sets="whole").sets == "whole"


@pytest.mark.parametrize(
    ("over", "mode", "trusted"),
    [
        ({}, "verify-full", "system"),
        ({"ca": "/etc/agency.pem"}, "verify-full", "/etc/agency.pem"),
        ({"url": "postgresql://q@10.1.2.3/d"}, "verify-full", "system"),
        ({"url": "postgresql://q@/d?host=127.0.0.1&host=10.1.2.3"}, "verify-full", "system"),
        ({"url": "postgresql://q@127.0.0.1/d", "ca": "/etc/agency.pem"}, "verify-full", "/etc/agency.pem"),
        ({"tls": "private"}, "prefer", None),
        ({"url": "postgresql://q@127.0.0.1/d"}, "disable", None),
        ({"url": "postgresql://q@localhost/d"}, "disable", None),
        ({"url": "postgresql:///d?host=/run/postgresql"}, "disable", None),
    ],
)
def test_a_database_beyond_this_machine_is_asked_over_a_verified_line_only(
    over: dict[str, Any], mode: str, trusted: str | None
) -> None:
    transport = feed(transport=SQL | over).transport
    assert isinstance(transport, SqlTransport)
    settings = sql._settings(transport)
    assert (settings["sslmode"], settings.get("sslrootcert")) == (mode, trusted)
    assert settings["gssencmode"] == "disable"


def test_another_database_on_a_private_line_is_declared_so() -> None:
    found = feed(transport=SQL | {"url": "mysql+pymysql://q@10.1.2.3/d", "tls": "private"}).transport
    assert isinstance(found, SqlTransport)
    assert not found.verified
