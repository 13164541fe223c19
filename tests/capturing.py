"""Collectors, devices and what they take, for tests."""

from datetime import datetime, timedelta
from typing import Any

from exchange.capture import collectors, devices
from exchange.home import Home
from registry import clock
from registry.identifiers import ResidentId
from sandbox.device import Device, new_device
from tests.people import BANK, ZHANG

COLLECTOR = ResidentId.parse("632521198703120004")
STAFF = ResidentId.parse("632521199011110002")
SECOND = ResidentId.parse("63252119880423000X")
WITNESS = ResidentId.parse("632521197905060009")


def collector(
    home: Home,
    code: str = "c-1",
    who: ResidentId = COLLECTOR,
    *,
    organisation: str = BANK,
    until: datetime | None = None,
) -> str:
    """Register a collector; give the code."""
    with home.database.transaction() as tx:
        collectors.add(tx, home, organisation, code, who, until=until, now=clock.now() - timedelta(days=10))
    return code


def staffed(home: Home, organisation: str = BANK) -> None:
    """Register whoever collects in `in_person`; further collectors of a test have codes of their own."""
    collector(home, "c-0", STAFF, organisation=organisation)


def in_person() -> dict[str, Any]:
    """Say who took a consent at a village point, where and when: now."""
    return {"collector": "c-0", "place": "632701", "captured_at": clock.now().isoformat()}


def device(home: Home, organisation: str = BANK) -> Device:
    """Register a device."""
    made = new_device()
    with home.database.transaction() as tx:
        assert devices.add(tx, organisation, "ES256", made.public, now=clock.now()) == made.name
    return made


def taken(who: ResidentId = ZHANG, **changes: Any) -> dict[str, Any]:
    """What is agreed to in person."""
    stated = {
        "subject": {"identifier": who.text},
        "terms": {"type": "credit_data", "purpose": "LOAN_APPROVAL", "items": ["RATING"]},
        "text_version": "2026-03",
        "text_language": "zh",
        "collector": "c-1",
        "place": "632701",
    }
    return stated | changes


def content(number: int, who: ResidentId = ZHANG, **changes: Any) -> dict[str, Any]:
    """What a device's record holds."""
    return taken(who, evidence_sha256=f"ab{number:062x}", **changes)
