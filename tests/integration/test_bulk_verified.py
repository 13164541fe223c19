"""A batch's manifest and parts, checked and opened with no exchange; and the keys that parts are sealed to."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from exchange.bulk import keys, results
from exchange.home import Home
from registry import clock, encryption, verify_batch
from registry.canonical import canonical
from registry.errors import EncryptionKeyRefused
from registry.suites.hpke import HpkeKey
from registry.verify_batch import BatchRefused
from tests.attacks.bent_client import Door
from tests.bulking import Batcher, asked, batcher, file_of, trust, worked
from tests.commanding import InProcess
from tests.databases import Addresses
from tests.people import NOBODY, consented, held


@pytest.fixture
def bank(exchange_home: Home) -> Iterator[Batcher]:
    with Door(exchange_home) as door:
        yield batcher(exchange_home, door)


def test_what_is_fetched_is_sealed_to_the_key_of_that_moment(exchange_home: Home, bank: Batcher) -> None:
    batch_id = bank.handed_in(file_of(asked(NOBODY)))
    worked(exchange_home)
    bank.fetched(batch_id)
    other = HpkeKey.generate("X25519")
    with exchange_home.database.transaction() as tx:
        keys.register(tx, "bank", encryption.read(encryption.jwk_of(other)), now=clock.now())
    part = bank.fetch(batch_id).content
    assert orjson.loads(part)["key"] == encryption.thumbprint("X25519", other.public)
    assert verify_batch.verify(bank.manifest(batch_id), {1: part}, trust(exchange_home), other).lines == 1
    with pytest.raises(BatchRefused, match="step 4"):
        verify_batch.verify(bank.manifest(batch_id), {1: part}, trust(exchange_home), bank.key)


@pytest.fixture
def qingqiao(exchange_home: Home, addresses: Addresses, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(exchange_home.settings.home, addresses, monkeypatch)


@pytest.fixture
def proven(exchange_home: Home, bank: Batcher) -> tuple[bytes, dict[int, bytes], bytes, Batcher]:
    held(exchange_home)
    consented(exchange_home)
    content = file_of(asked(), *(asked(NOBODY, business_no=f"LA-{n}") for n in range(results.PART_LINES)))
    batch_id = bank.handed_in(content)
    worked(exchange_home)
    parts = {number: bank.fetch(batch_id, number).content for number in (1, 2)}
    return bank.manifest(batch_id), parts, content, bank


def test_manifest_and_parts_are_verified_without_us(
    exchange_home: Home, proven: tuple[bytes, dict[int, bytes], bytes, Batcher]
) -> None:
    document, parts, content, bank = proven
    given: list[bytes] = []
    verdict = verify_batch.verify(document, parts, trust(exchange_home), bank.key, questions=content, give=given.append)
    assert (verdict.parts, verdict.lines, verdict.answers) == (2, results.PART_LINES + 1, 1)
    assert verdict.refusals == {"no-consent": results.PART_LINES}
    assert [orjson.loads(line)["line"] for line in given] == list(range(1, results.PART_LINES + 2))


def test_whatever_is_bent_is_found_at_its_step(
    exchange_home: Home, proven: tuple[bytes, dict[int, bytes], bytes, Batcher]
) -> None:
    document, parts, content, bank = proven
    policy, said = trust(exchange_home), orjson.loads(document)
    more_permitted = canonical({**said, "manifest": {**said["manifest"], "permitted": 5}})
    header = orjson.loads(parts[1])
    for step, bent in {
        1: (more_permitted, parts, content),
        2: (document, parts, content + b"\n"),
        3: (document, {1: parts[1]}, content),
        3.1: (document, {1: parts[2], 2: parts[1]}, content),
        3.2: (document, {**parts, 1: canonical({**header, "first_line": 2})}, content),
        3.3: (document, {**parts, 1: canonical({**header, "sealed": header["sealed"][::-1]})}, content),
    }.items():
        with pytest.raises(BatchRefused) as found:
            verify_batch.verify(bent[0], bent[1], policy, bank.key, questions=bent[2])
        assert found.value.step == int(step)
    assert verify_batch.verify(document, {2: parts[2]}, policy, bank.key, partial=True).parts == 1


def test_a_key_that_signs_is_not_sealed_to() -> None:
    jwk = encryption.jwk_of(HpkeKey.generate("P-256"))
    wrong: list[object] = [
        {**jwk, "use": "sig"}, {k: v for k, v in jwk.items() if k != "use"}, {**jwk, "d": "AA"},
        {**jwk, "crv": "P-384"}, {**jwk, "x": jwk["y"]}, {**jwk, "x": "!"}, {**jwk, "x": 1},
        {"kty": "OKP", "crv": "X25519", "use": "enc", "x": "A" * 43}, [], "key",
    ]  # fmt: skip
    for bent in wrong:
        with pytest.raises(EncryptionKeyRefused):
            encryption.read(bent)
    key = HpkeKey.generate("X25519")
    assert encryption.read_private(encryption.private_jwk(key)).public == key.public
    with pytest.raises(EncryptionKeyRefused, match="belong together"):
        encryption.read_private(
            {**encryption.private_jwk(key), "x": encryption.jwk_of(HpkeKey.generate("X25519"))["x"]}
        )


def test_the_operator_registers_a_key_and_the_lender_checks_a_batch_by_commands(
    exchange_home: Home, bank: Batcher, qingqiao: InProcess, tmp_path: Path
) -> None:
    key_file, public_file = tmp_path / "enc.key.json", tmp_path / "enc.jwk.json"
    assert qingqiao("lender", "encryption-key", "nobody", "--make-key", str(key_file)).returncode == 2
    assert not key_file.exists()
    assert (
        qingqiao("lender", "encryption-key", "bank", "--make-key", str(key_file), "--curve", "X25519").returncode == 0
    )
    assert key_file.stat().st_mode & 0o777 == 0o600
    public_file.write_bytes(orjson.dumps({**orjson.loads(key_file.read_bytes()), "use": "enc"}))
    shown = qingqiao("lender", "encryption-key", "bank", "--jwk", str(public_file))
    assert (shown.returncode, "private" in shown.stderr) == (2, True)
    batch_id = bank.handed_in(file_of(asked(NOBODY)))
    worked(exchange_home)
    folder, trusted, out = tmp_path / "fetched", tmp_path / "trust.json", tmp_path / "out.ndjson"
    folder.mkdir()
    (folder / "part-1.json").write_bytes(bank.fetch(batch_id).content)
    (folder / "manifest.json").write_bytes(bank.manifest(batch_id))
    trusted.write_bytes(orjson.dumps(exchange_home.keyring.trust_policy()))
    words = ["lender", "batch-verify", str(folder), "--key", str(key_file), "--trust", str(trusted)]
    checked = qingqiao(*words, "--out", str(out))
    assert (checked.returncode, "no-consent: 1" in checked.stdout) == (0, True)
    assert orjson.loads(out.read_bytes())["refusal"] == "no-consent"
    assert out.stat().st_mode & 0o777 == 0o600
    (folder / "part-1.json").unlink()
    assert "step 3" in qingqiao(*words).stdout
    assert qingqiao(*words).returncode == 1
    assert qingqiao(*words, "--partial").returncode == 0
