"""The agencies' door for mending: the annotated workbook, decisions, proposals, templates, headings.

An agency sees and decides of what its own organisation delivered. Whatever shows a cell comes through the provider's
entrance of the gate (`release.providing`); whatever is decided goes to `exchange.mending`. No answer here depends on
who has consented, but for the one total that `connectors.apparent` lets through.

A row's place is sheet and row as the annotated workbook shows them: the sheet by its number from 1, 0 for a text file.
"""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from connectors import annotate, apparent, mappings, templates
from connectors import mending as decisions
from connectors.mending import Proposal, State, Verb, What
from connectors.source import current as declarations
from exchange import mending, paging, problems
from exchange.agency_api.pace import ANNOTATING_COST, DECIDING_COST, TEMPLATE_COST, Pace
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.mending import Wanted
from exchange.oauth.doors import require
from exchange.oauth.guard import Caller
from exchange.oauth.scopes import Scope
from exchange.release.providing import For, Provided, provide
from registry.clock import now as now_
from registry.clock import rfc3339

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_PAGE: Final = 200
_PROPOSALS: Final = "proposal"
_MOST_ROWS: Final = 1_000  # decided of at once
_NO_STORE: Final = {"Cache-Control": "no-store"}
Reason = Annotated[str, Field(min_length=2, max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f]*$")]
Text = Annotated[str, Field(max_length=2_000, pattern=r"^[^\x00-\x08\x0b-\x1f]*$")]
SheetNo = Annotated[int, Field(ge=0, le=10_000)]
RowNo = Annotated[int, Field(ge=1, le=20_000_000)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DecisionModel(_Model):
    """What is to become of a row. `cells` are corrected cells by heading, of a correction only."""

    act: Literal["accept", "correct", "withdraw"]
    reason: Reason
    cells: dict[Text, Text] = Field(default_factory=dict, max_length=100)


class PlaceModel(_Model):
    """One row."""

    sheet: SheetNo
    row: RowNo


class RecallModel(_Model):
    """What is taken back: these rows, or without any the whole batch; all rows that are left are the whole, too."""

    reason: Reason
    rows: list[PlaceModel] = Field(default_factory=list, max_length=_MOST_ROWS)


class ReplaceModel(_Model):
    """Which batch of the same agency takes this one's place."""

    successor: UUID
    reason: Reason


class MappingModel(_Model):
    """What one heading is. With `batch_id` that batch is weighed again with it; `also`: besides another heading."""

    kind: str = Field(max_length=40, pattern=r"^[A-Z][A-Z0-9_]*$")
    heading: str = Field(min_length=1, max_length=mappings.LONGEST_HEADING, pattern=r"^[^\x00-\x1f]*$")
    column: str = Field(max_length=60, pattern=r"^[a-z][a-z0-9_]*$")
    also: bool = False
    batch_id: UUID | None = None


class SettingModel(_Model):
    """Whether each decision takes two persons."""

    four_eyes: bool


class ProposalModel(BaseModel):
    """A proposal, and where it stands. What it says is shown to its own organisation."""

    proposal_id: str
    batch_id: str
    act: str
    rows: list[dict[str, int]]
    successor: str | None
    state: str
    proposer: str
    proposed_at: str
    approver: str | None
    decided_at: str | None
    reason: str | None = None
    cells: dict[str, str] | None = None


class ProposalsModel(BaseModel):
    """A page of proposals, the oldest first."""

    proposals: list[ProposalModel]
    next: str | None


def build_router(home: Home, pace: Pace) -> APIRouter:
    """Build the routes over an installation."""
    router = APIRouter(prefix="/agency/v1", tags=["agency: mending"])
    for add in (_add_looking, _add_deciding, _add_proposals, _add_templates, _add_mappings):
        add(router, home, pace)
    return router


_Reading = Annotated[Caller, Depends(require(Scope.AGENCY_READ))]
_Deciding = Annotated[Caller, Depends(require(Scope.AGENCY_DECIDE))]


# ---- looking --------------------------------------------------------------------------------------------------------


def _add_looking(router: APIRouter, home: Home, pace: Pace) -> None:
    @router.get(
        "/batches/{batch_id}/annotated", summary="The annotated workbook", response_class=Response,
        responses={200: {"content": {XLSX: {}}}, **problems.responses(401, 403, 404, 410, 429)},
    )  # fmt: skip
    def annotated(batch_id: UUID, caller: _Reading, mask: Annotated[bool, Query()] = False) -> Response:  # noqa: FBT002  # a switch in the address
        """Give the sender's own workbook back with faults coloured, reasons and mends; with `mask` for showing only."""
        pace.take(caller.org_code, ANNOTATING_COST)
        provided = provide(home, caller, batch_id, purpose=For.ANNOTATING)
        written = annotate.annotated(_sent(provided), mask=mask)
        headers = {**_NO_STORE, "Content-Disposition": f'attachment; filename="{batch_id}.xlsx"'}
        return Response(written, 200, headers, XLSX)


def _sent(provided: Provided) -> annotate.Sent:
    outcomes = provided.weighed()
    without = {
        one.label: told
        for one in outcomes
        if one.label == provided.batch.label and (told := apparent.told_without(one, provided.batch.codes)) is not None
    }
    file = provided.file
    return annotate.Sent(provided.raw, file.label, file.delivery, provided.as_of, provided.mended, outcomes, without)


# ---- deciding -------------------------------------------------------------------------------------------------------


def _add_deciding(router: APIRouter, home: Home, pace: Pace) -> None:
    @router.post(
        "/batches/{batch_id}/rows/{sheet}/{row}/decision", summary="Decide of a row",
        responses=problems.responses(401, 403, 404, 409, 410, 422, 429),
    )  # fmt: skip
    def decide(batch_id: UUID, sheet: SheetNo, row: RowNo, given: DecisionModel, caller: _Deciding) -> ProposalModel:
        """Accept with a reason, correct, or withdraw a row; a proposal, where the agency wants two persons.

        Withdrawing the last row that is left is a recall of the whole batch: always a proposal.
        """
        pace.take(caller.org_code, DECIDING_COST)
        if (given.act == "correct") != bool(given.cells):
            raise RequestRefused("request-malformed", "cells belong to a correction, and a correction needs some")
        wanted = Wanted(What(given.act), ((_place(sheet), row),), given.reason, given.cells)
        return _shown(mending.decide(home, caller, batch_id, wanted))

    @router.post(
        "/batches/{batch_id}/recall", summary="Recall rows or a whole batch",
        responses=problems.responses(401, 403, 404, 409, 429),
    )  # fmt: skip
    def recall(batch_id: UUID, given: RecallModel, caller: _Deciding) -> ProposalModel:
        """Take rows back, or propose to take back all of them, which another person must approve, always.

        They are shown no more then, and lenders that were shown them are told.
        """
        pace.take(caller.org_code, DECIDING_COST)
        if not given.rows:
            return _shown(mending.recall(home, caller, batch_id, given.reason))
        places = tuple((_place(one.sheet), one.row) for one in given.rows)
        wanted = Wanted(What.WITHDRAW, places, given.reason, {})
        return _shown(mending.decide(home, caller, batch_id, wanted))

    @router.post(
        "/batches/{batch_id}/replace", summary="Replace a whole batch by another",
        responses=problems.responses(401, 403, 404, 409, 429),
    )  # fmt: skip
    def replace(batch_id: UUID, given: ReplaceModel, caller: _Deciding) -> ProposalModel:
        """Propose that another batch takes this one's place. Another person must approve it, always."""
        pace.take(caller.org_code, DECIDING_COST)
        return _shown(mending.propose_replacement(home, caller, batch_id, given.successor, given.reason))


def _add_proposals(router: APIRouter, home: Home, pace: Pace) -> None:
    @router.get(
        "/proposals", summary="Proposals of your organisation", responses=problems.responses(400, 401, 403, 422)
    )
    def proposals(
        caller: _Reading,
        state: Annotated[State | None, Query()] = None,
        cursor: paging.Cursor = None,
        limit: Annotated[int, Query(ge=1, le=_PAGE)] = 50,
    ) -> ProposalsModel:
        """List proposals, the oldest first, those behind `cursor`, without what they say."""
        place = paging.opened(_PROPOSALS, cursor)
        with home.database.transaction() as tx:
            found = decisions.listed(tx, caller.org_code, state=state, after=place, limit=limit + 1)
        shown = found[:limit]
        more = paging.cursor(_PROPOSALS, shown[-1].proposed_at, shown[-1].mending_id) if len(found) > limit else None
        return ProposalsModel(proposals=[_shown(one) for one in shown], next=more)

    @router.get("/proposals/{proposal_id}", summary="One proposal", responses=problems.responses(401, 403, 404))
    def proposal(proposal_id: UUID, caller: _Deciding) -> ProposalModel:
        """Show a proposal with its reason and corrected cells, for whoever is to approve it."""
        with home.database.transaction() as tx:
            found = decisions.lock(tx, proposal_id, caller.org_code)
            said = decisions.said_by(tx, home.sealing, [found])[0] if found else {}
        if found is None:
            raise RequestRefused("proposal-unknown")
        return _shown(found).model_copy(
            update={"reason": said.get("reason"), "cells": dict(said["cells"]) if said.get("cells") else None}
        )

    @router.post(
        "/proposals/{proposal_id}/{verb}", summary="Approve, refuse or take back",
        responses=problems.responses(401, 403, 404, 409, 429, 503),
    )  # fmt: skip
    def settle(proposal_id: UUID, verb: Verb, caller: _Deciding) -> ProposalModel:
        """Settle a proposal: another person approves or refuses, who made it takes it back."""
        pace.take(caller.org_code, DECIDING_COST)
        return _shown(mending.settle(home, caller, proposal_id, verb))

    @router.put("/settings", summary="Two persons for each decision", responses=problems.responses(401, 403))
    def setting(given: SettingModel, caller: _Deciding) -> SettingModel:
        """Ask for two persons from now on. Only the operator sets it back: one person alone could not undo it."""
        with home.database.transaction() as tx:
            if not given.four_eyes and decisions.four_eyes(tx, caller.org_code):
                raise RequestRefused("four-eyes-needed", "only the operator sets it back to one person")
            if given.four_eyes:
                decisions.set_four_eyes(tx, caller.org_code, wanted=True, by=caller.client_id, now=now_())
        return given


def _place(sheet: int) -> str:
    return str(sheet) if sheet else ""


def _shown(one: Proposal) -> ProposalModel:
    return ProposalModel(
        proposal_id=str(one.mending_id),
        batch_id=str(one.batch_id),
        act=one.what.value,
        rows=[{"sheet": int(sheet or 0), "row": row} for sheet, row in one.places],
        successor=str(one.successor) if one.successor else None,
        state=one.state.value,
        proposer=one.proposer,
        proposed_at=rfc3339(one.proposed_at),
        approver=one.approver,
        decided_at=_when(one.decided_at),
    )


def _when(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None


# ---- templates and headings -----------------------------------------------------------------------------------------


def _add_templates(router: APIRouter, home: Home, pace: Pace) -> None:
    del home

    @router.get("/templates", summary="Kinds that have a template", responses=problems.responses(401, 403))
    def listed(_: _Reading) -> list[dict[str, str]]:
        """List kinds and classes with their titles."""
        known = declarations().catalogue.kinds
        return [
            {
                "kind": kind,
                "class": known[kind].class_code,
                "zh": known[kind].titles["zh"],
                "en": known[kind].titles["en"],
            }
            for kind in templates.kinds()
        ]

    @router.get(
        "/templates/{name}.xlsx", summary="A template", response_class=Response,
        responses={200: {"content": {XLSX: {}}}, **problems.responses(401, 403, 404, 429)},
    )  # fmt: skip
    def template(name: str, caller: _Reading) -> Response:
        """Give the template of a kind, or of a class's first kind, with dropdowns, examples and help."""
        pace.take(caller.org_code, TEMPLATE_COST)
        known = declarations().catalogue.kinds
        kind = next((one for one in templates.kinds() if name in {one, known[one].class_code}), None)
        found = templates.of_kind(kind) if kind else None
        if found is None:
            raise RequestRefused("template-unknown")
        headers = {"Content-Disposition": f'attachment; filename="{found.file_name}"'}
        return Response(templates.workbook(found), 200, headers, XLSX)


def _add_mappings(router: APIRouter, home: Home, pace: Pace) -> None:
    @router.get("/mappings", summary="What your headings are", responses=problems.responses(401, 403))
    def listed(caller: _Reading) -> list[dict[str, str | None]]:
        """List what your organisation has said of its headings."""
        with home.database.transaction() as tx:
            return [_mapping(one) for one in mappings.listed(tx, caller.org_code)]

    @router.put(
        "/mappings", summary="Say what a heading is", responses=problems.responses(401, 403, 404, 409, 422, 429)
    )
    def say(given: MappingModel, caller: _Deciding) -> dict[str, str | None]:
        """Map a heading that no declaration knows; remembered for all later files of your organisation."""
        pace.take(caller.org_code, DECIDING_COST)
        return _mapping(
            mending.say_heading(
                home, caller, given.kind, given.heading, given.column, also=given.also, batch_id=given.batch_id
            )
        )

    @router.post(
        "/mappings/{mapping_id}/{verb}", status_code=204, responses=problems.responses(401, 403, 404, 409, 429)
    )
    def settle(mapping_id: UUID, verb: Literal["approve", "refuse"], caller: _Deciding) -> None:
        """Approve or refuse what another person has said of a heading; the batch it was said of is weighed with it."""
        pace.take(caller.org_code, DECIDING_COST)
        mending.settle_heading(home, caller, mapping_id, approve=verb == "approve")


def _mapping(one: mappings.ColumnMapping) -> dict[str, str | None]:
    return {
        "mapping_id": str(one.mapping_id),
        "kind": one.kind,
        "heading": one.heading,
        "column": one.column,
        "batch_id": str(one.batch_id) if one.batch_id else None,
        "state": one.state.value,
        "proposer": one.proposer,
        "approver": one.approver,
    }
