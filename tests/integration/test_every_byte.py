"""Every byte of evidence, one after the other; the sample of them that runs always is in test_evidence_bytes."""

import pytest

from exchange.home import Home
from registry.verify import EvidenceRefused, verify
from tests.integration.test_evidence_bytes import built

FLIPS = (0x01, 0x20, 0x80)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("form", [0, 1])
def test_no_byte_at_all_can_be_changed(exchange_home: Home, form: int) -> None:
    policy = exchange_home.keyring.policy()
    raw = built(exchange_home)[form]
    for position in range(len(raw)):
        for flip in FLIPS:
            changed = raw[:position] + bytes([raw[position] ^ flip]) + raw[position + 1 :]
            with pytest.raises(EvidenceRefused, match=r"step [1-8]:"):
                verify(changed, policy)
