"""Who agreed, read from the sample consent register by itself: no ledger, no database."""

import csv
import io
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from uuid import UUID, uuid5

from registry.basis import Basis, BasisKind, BasisOf

SAMPLES = Path(__file__).parents[2] / "samples" / "agencies"
REGISTER = SAMPLES / "授权台账_2026.csv"
AS_OF = date(2026, 6, 15)
_CONSENTS = UUID(int=0)


def rows() -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(REGISTER.read_text("utf-8-sig"))))


def basis_of_register(at: date = AS_OF) -> BasisOf:
    """Active, valid on the day (the last day included), naming the class or the kind."""
    covered = {
        (row["身份证号"], item): Basis(BasisKind.CONSENT, str(uuid5(_CONSENTS, row["授权编号"])))
        for row in rows()
        if row["状态"] == "active" and row["生效日期"] <= at.isoformat() <= row["失效日期"]
        for item in row["数据项"].split(";")
    }

    def basis_of(kind: str, identifiers: Sequence[str], _: date) -> list[Basis | None]:
        return [covered.get((identifier, kind)) for identifier in identifiers]

    return basis_of


def everybody(_: str, identifiers: Sequence[str], __: date) -> list[Basis | None]:
    basis = Basis(BasisKind.CONSENT, str(_CONSENTS))
    return [basis] * len(identifiers)


def nobody(_: str, identifiers: Sequence[str], __: date) -> list[Basis | None]:
    return [None] * len(identifiers)
