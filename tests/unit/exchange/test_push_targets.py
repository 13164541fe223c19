"""Where events may be sent: no address leads into a private network, however it is written."""

import ipaddress
from urllib.parse import urlsplit

import pytest

from exchange.errors import RequestRefused
from exchange.push_targets import Unreachable, allowed, check, choose

PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",  # noqa: S104  # to be refused
    "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
    "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::", "192.0.2.7", "fec0::1", "2001:0:4136:e378::1",
]  # fmt: skip


@pytest.mark.parametrize("text", PRIVATE)
def test_a_private_address_is_refused_in_every_spelling(text: str) -> None:
    assert not allowed(ipaddress.ip_address(text), sandbox=False)
    at = f"[{text}]" if ":" in text else text
    with pytest.raises(RequestRefused, match="events-url"):
        check(f"https://{at}/events", sandbox=False)


@pytest.mark.parametrize("text", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_a_public_address_is_allowed(text: str) -> None:
    assert allowed(ipaddress.ip_address(text), sandbox=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://bank.example/events",
        "https://user@bank.example/events",
        "https://bank.example/events?token=1",
        "https://bank.example/events#x",
        "https://bank.example:notaport/",
        "https://localhost/events",
        "https://intranet/events",
        "https:///events",
        "ftp://bank.example/events",
        "https://bank.example/" + "a" * 300,
        "https://bänk.example/",
        "https://bank.example/a b",
        "https://bank..example/",
        "https://.bank.example/",
        "https://bank.example../",
        f"https://{'a' * 64}.example/",
        f"https://{'a.' * 127}example/",
        "https://bank%2eexample.com/",
        "https://-bank.example/",
    ],
)
def test_what_is_not_plainly_https_with_a_public_host_is_not_registered(url: str) -> None:
    with pytest.raises(RequestRefused, match="events-url"):
        check(url, sandbox=False)


def test_a_sandbox_may_name_this_machine_and_no_other_private_one() -> None:
    assert check("http://127.0.0.1:8080/events", sandbox=True)
    for url in ("http://10.0.0.1/events", "https://192.168.0.1/", "http://bank.example/events"):
        with pytest.raises(RequestRefused, match="events-url"):
            check(url, sandbox=True)


def test_one_private_answer_among_public_ones_is_enough_to_refuse_a_name() -> None:
    parts = urlsplit("https://bank.example:8443/events")
    with pytest.raises(Unreachable, match="address-refused"):
        choose(parts, ["1.1.1.1", "10.0.0.1"], sandbox=False)
    with pytest.raises(Unreachable, match="address-refused"):
        choose(parts, [], sandbox=False)


def test_the_connection_goes_to_the_address_that_was_looked_at_under_the_name_that_was_meant() -> None:
    target = choose(urlsplit("https://bank.example:8443/events"), ["2606:4700:4700::1111", "1.1.1.1"], sandbox=False)
    assert target.url == "https://[2606:4700:4700::1111]:8443/events"
    assert (target.host, target.authority) == ("bank.example", "bank.example:8443")
