"""`qingqiao consent`: the consent register, and single consents."""

import re
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from consent import ledger, printing
from consent.errors import TermsRefused
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.grant import State
from consent.printing import Sheet
from consent.record import NewConsent, SubjectType, midnight
from consent.register import MEANINGS
from consent.scope import Mode, recipient_name
from exchange import consent_registers, consents
from exchange.cli.context import console, opened
from exchange.oauth import clients
from exchange.receipts_api import RECEIPTS_PATH
from registry.errors import MalformedIdentifier
from registry.identifiers import CreditCode, Identifier, ResidentId
from registry.records import NOBODY
from registry.suites import sha256

_CONSENT = typer.Typer(help="Consents (授权).", no_args_is_help=True)
_SHOWN = 50
_TEXT_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_CONSENT, name="consent")


@_CONSENT.command("import")
def import_register(
    file: Annotated[Path, typer.Argument(help="Consent register (授权台账), CSV or workbook.")],
) -> None:
    """Record a consent register; the same file again changes nothing."""
    with opened() as home:
        report = consent_registers.import_register(
            home, consent_registers.read_register(file.read_bytes()), actor="operator"
        )
    counts = ", ".join(f"{count} {outcome.value}" for outcome, count in sorted(report.counts.items()) if count)
    console.print(f"[green]✓[/green] {len(report.rows)} rows: {counts}")
    shown = [row for row in report.rows if row.needs_attention][:_SHOWN]
    for row in shown:
        console.print(f"  row {row.row_no}: {row.code.value}  {row.zh} / {row.en}")


_Identifier = Annotated[
    str,
    typer.Option(
        prompt="Resident id or credit code",
        hide_input=True,
        help="Who consents; asked for when not given, so that it stays out of the shell's history.",
    ),
]


@_CONSENT.command()
def create(  # one parameter an option
    *,
    identifier: _Identifier,
    recipient: Annotated[str, typer.Option(help="The one organisation, by its full name.")],
    purpose: Annotated[str, typer.Option(help="A published purpose, as LOAN_APPROVAL.")],
    items: Annotated[list[str], typer.Option("--item", help="Items, kinds or classes.")],
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, in Beijing.")],
    evidence_file: Annotated[
        Path, typer.Option(help="The paper, film or minutes; only its hash is kept.", exists=True)
    ],
    text_version: Annotated[str, typer.Option(help="Of the text that was agreed to, as 2026-01.")],
    last: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, included.")] = None,
    max_uses: Annotated[int | None, typer.Option(min=1, max=10_000)] = None,
    uses_per_month: Annotated[int | None, typer.Option(min=1, max=10_000)] = None,
    mode: Annotated[Mode | None, typer.Option(help="The highest answer mode.")] = None,
    language: Annotated[Language, typer.Option(help="Of that text.")] = Language.CHINESE,
    channel: Annotated[Channel, typer.Option(help="Where it was taken.")] = Channel.OFFICE,
    evidence_kind: Annotated[EvidenceKind, typer.Option()] = EvidenceKind.PAPER_SCAN,
    redacted: Annotated[
        bool,
        typer.Option("--fingerprints-redacted", help="The fingerprint area was blacked out before any copy was made."),
    ] = False,
    acknowledged: Annotated[
        bool, typer.Option("--acknowledged", help="Adverse consequences were acknowledged in writing.")
    ] = False,
    sensitive: Annotated[
        bool, typer.Option("--sensitive-agreed", help="Sensitive items were agreed to in an act of their own.")
    ] = False,
) -> None:
    """Record one consent that was taken on paper; what is not stated takes the purpose's strictest value."""
    who = _identifier(identifier)
    if not _TEXT_VERSION.fullmatch(text_version):
        raise typer.BadParameter("a version is written 2026-01", param_hint="--text-version")
    try:
        with opened() as home:
            with home.database.transaction() as tx:
                to_lender = recipient_name(recipient) in clients.organisations(tx)
            new = NewConsent(
                subject_id=NOBODY,
                subject_type=SubjectType.PERSON if isinstance(who, ResidentId) else SubjectType.ORGANISATION,
                recipient=recipient,
                purpose=purpose,
                items=items,
                valid_from=midnight(first.date()),
                valid_until=None if last is None else midnight(last.date() + timedelta(days=1)),
                capture=Capture(
                    channel=channel,
                    text_version=text_version,
                    text_language=language,
                    evidence=replace(
                        Evidence.of(evidence_kind, sha256(evidence_file.read_bytes()).hex()), redacted=redacted
                    ),
                ),
                w_acknowledged=acknowledged,
                max_uses=max_uses,
                uses_per_month=uses_per_month,
                sensitive_agreed=sensitive,
                mode=mode,
                to_lender=to_lender,
            )
            made = consents.grant(home, who, new, actor="operator")
    except TermsRefused as refused:
        zh, en = MEANINGS[refused.code]
        console.print(f"[yellow]refused[/yellow] {refused.code.value}  {zh} / {en}")
        raise typer.Exit(1) from None
    until = made.terms.scope.valid_until - timedelta(days=1)
    console.print(f"[green]✓[/green] {made.consent_id}: {made.terms.scope.max_uses} uses, until {until:%Y-%m-%d}")


def _identifier(text: str) -> Identifier:
    for parse in (ResidentId.parse, CreditCode.parse):
        with suppress(MalformedIdentifier):
            return parse(text)
    raise typer.BadParameter("neither a resident id nor a credit code", param_hint="--identifier")


@_CONSENT.command("list")
def list_consents(
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    recipient: Annotated[str | None, typer.Option(help="Only those for this lender.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
) -> None:
    """List consents, by random subject ids; nobody is named."""
    with opened() as home:
        with home.database.transaction() as tx:
            page, more = ledger.listing(tx, state=state, recipient=recipient, limit=limit)
        table = Table("consent", "subject", "recipient", "purpose", "state", "until", "uses")
        for one in page:
            scope = one.terms.scope
            table.add_row(
                one.consent_id,
                str(one.terms.subject_id)[:8],
                escape(scope.recipient),
                scope.purpose,
                one.state.value,
                f"{scope.valid_until:%Y-%m-%d}",
                f"{one.uses}/{scope.max_uses}",
            )
        console.print(table)
        if more is not None:
            console.print("[dim]there are more: raise --limit[/dim]")


@_CONSENT.command()
def receipt(
    consent_id: Annotated[str, typer.Argument(help="Which consent.")],
    out: Annotated[Path, typer.Option(help="The sheet, an HTML file to print; it must not be there yet.")],
    language: Annotated[Language, typer.Option(help="zh, bo or en.")] = Language.CHINESE,
    masked_name: Annotated[str | None, typer.Option(help="As 张*, to stand on the sheet; it is kept nowhere.")] = None,
) -> None:
    """Write a consent's receipt as a sheet for the subject: with a code that opens its check."""
    with opened() as home:
        with home.database.transaction() as tx:
            found = ledger.get(tx, [consent_id]).get(consent_id)
        if found is None:
            raise typer.BadParameter("there is no consent of this id", param_hint="CONSENT_ID")
        where = f"{home.settings.issuer}{RECEIPTS_PATH}/{consent_id}"
        text = printing.html(Sheet(found.receipt, found.receipt_sm2, where, masked_name), language)
    try:
        with out.open("x", encoding="utf-8") as file:
            out.chmod(0o600)
            file.write(text)
    except FileExistsError:
        raise typer.BadParameter("the file is there already", param_hint="--out") from None
    console.print(f"[green]✓[/green] {escape(str(out))}; check code {printing.check_code(found.receipt)}")


@_CONSENT.command()
def withdraw(
    consent_id: Annotated[str, typer.Argument(help="Which consent.")],
    channel: Annotated[Channel, typer.Option(help="Where the subject said so.")] = Channel.OFFICE,
) -> None:
    """Withdraw a consent, on the subject's word. Nothing is released on it from this moment on."""
    if channel is Channel.LENDER:
        raise typer.BadParameter("a lender gives a consent up at its own door", param_hint="--channel")
    with opened() as home:
        consents.withdraw(home, consent_id, channel, actor="operator")
        console.print(f"[green]✓[/green] withdrawn: {escape(consent_id)}")
