"""Made-up people, and rows of subsidies as an agency's interface would give them."""

from typing import Any

from registry.identifiers import resident_check


def resident_id(number: int) -> str:
    """The resident ID of the n-th made-up person."""
    body = f"63272119850302{number:03d}"
    return body + resident_check(body)


def row(number: int, changed: str = "2026-06-01T00:00:00Z", amount: str = "100.00") -> dict[str, Any]:
    """A row of the n-th person, keyed as a subsidy system keys it."""
    return {
        "id": number,
        "zjh": resident_id(number),
        "xm": "卓玛",
        "je": amount,
        "nd": 2025,
        "xmmc": "耕地地力保护补贴",
        "changed_at": changed,
    }


COLUMNS: dict[str, str | None] = {
    "id": None,
    "zjh": "身份证号",
    "xm": "姓名",
    "je": "补贴金额（元）",
    "nd": "年度",
    "xmmc": "项目名称",
    "changed_at": None,
}
