"""Mending, put together: what an agency's people decide of rows, and all that follows from it.

Steps of a decision (the numbers are used in the code):
  1. open the file for its own organisation, and try the decision out on it (`release.providing`)
  2. keep the proposal; where two persons are wanted, wait for the other one
  3. once decided, in the same transaction: recall what is withdrawn, and notify the lenders that were shown it
  4. weigh the file again at once; if another process has it under its hands, a job does (`weigh_waiting`)

A correction is decided only if the row comes through every check with it; otherwise nothing changes and the code is
said. Nothing that comes out of here depends on who has consented: not the outcome, not the answer, not the entries.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final
from uuid import UUID

from connectors import apparent, batches, layout, mappings, mending, source
from connectors.codes import BY_NAME, Outcome
from connectors.errors import BytesDestroyed, IntakeBusy, MendingRefused
from connectors.intake import Intake
from connectors.mappings import ColumnMapping
from connectors.mending import OwnBatch, Place, Proposal, State, Verb, What
from connectors.mends import Act, Mend, Mends
from exchange import consents, recall_notices
from exchange.errors import OutOfService, RequestRefused
from exchange.home import Home
from exchange.oauth.guard import Caller
from exchange.release.providing import For, Provided, provide
from registry import clock, recalling
from registry.canonical import JSON
from registry.database import Transaction

_TO_BE_SPLIT: Final = frozenset({"MULTIPLE_PERSONS"})  # whose row it is nobody can say: it is corrected or withdrawn
_HELD: Final = frozenset({Outcome.ACCEPTED.value, Outcome.WARNED.value})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants done with rows. `cells` are of a correction, by heading."""

    what: What
    places: tuple[Place, ...]
    reason: str
    cells: Mapping[str, str]


def intake_of(home: Home) -> Intake:
    """Make an installation's intake: it asks the installation's consents, and what was decided of rows."""
    return Intake(
        home.database,
        home.sealing,
        home.raw,
        partial(consents.basis_of, home),
        mended=mending.mended_of(home.database, home.sealing),
        recalled=recall_notices.notify,
        corrected=recall_notices.notify_corrected,
        changes=consents.Changes(),
        workers=home.workers,
    )


def decide(home: Home, caller: Caller, batch_id: UUID, wanted: Wanted) -> Proposal:
    """Decide of rows, or propose it where two persons are wanted.

    To withdraw all rows that are left of a file's table is to recall the batch, by whichever door: another person must
    approve it, always.

    Raises:
        RequestRefused: `batch-unknown`, `bytes-destroyed`, `batch-ended`, `row-unknown`, `row-not-quarantined`,
            `row-withdrawn`, `row-to-be-split`, `heading-unknown` or `correction-fails`.
    """
    batch = _own(home, caller, batch_id)
    with home.database.transaction() as tx:
        if mending.final(tx, batch_id, wanted.places):
            raise RequestRefused("row-withdrawn")
    if wanted.what is What.WITHDRAW:
        if not batch.destroyed:
            batch = _hold_rows(provide(home, caller, batch_id, purpose=For.DECIDING), wanted)
    else:
        provided = provide(home, caller, batch_id, purpose=For.DECIDING)  # 1
        batch = provided.batch
        _try_out(provided, wanted)
    said: dict[str, JSON] = {
        "reason": wanted.reason,
        "cells": [[heading, text] for heading, text in wanted.cells.items()],
    }
    with _translated(), home.database.transaction() as tx:
        mending.keep_others_waiting(tx, batch_id)
        if mending.final(tx, batch_id, wanted.places):
            raise RequestRefused("row-withdrawn")
        wanted = _as_a_whole(tx, batch, wanted)
        state = mending.first_state(wanted.what, four_eyes=mending.four_eyes(tx, caller.org_code))
        proposal = mending.propose(  # 2
            tx, home.sealing, batch, wanted.what, places=wanted.places, said=said, state=state,
            proposer=caller.client_id, now=clock.now(),
        )  # fmt: skip
        if state is State.DECIDED:
            _follow(tx, proposal, caller.client_id)
    if proposal.state is State.DECIDED:
        _weigh(home, batch)
    return proposal


def recall(home: Home, caller: Caller, batch_id: UUID, reason: str) -> Proposal:
    """Propose to recall a whole batch. Another person must approve it, always; it works after the bytes are gone.

    Raises:
        RequestRefused: `batch-unknown`, `batch-ended`.
    """
    with _translated(), home.database.transaction() as tx:
        batch = _still(tx, caller, batch_id)
        return mending.propose(
            tx, home.sealing, batch, What.RECALL, said={"reason": reason},
            state=mending.first_state(What.RECALL, four_eyes=True), proposer=caller.client_id, now=clock.now(),
        )  # fmt: skip


def propose_replacement(home: Home, caller: Caller, old: UUID, new: UUID, reason: str) -> Proposal:
    """Propose to put one batch in the place of another. Another person must approve it, always.

    Raises:
        RequestRefused: `batch-unknown`, `batch-ended`, or `batch-not-replaceable`: the two are the same, of different
            kinds, or the new one is not published.
    """
    batch, successor = _own(home, caller, old), _own(home, caller, new)
    if old == new or successor.state != batches.PUBLISHED or batch.kind not in {successor.kind, None}:
        raise RequestRefused("batch-not-replaceable")
    with _translated(), home.database.transaction() as tx:
        return mending.propose(
            tx, home.sealing, batch, What.REPLACE, said={"reason": reason}, successor=new,
            state=mending.first_state(What.REPLACE, four_eyes=True), proposer=caller.client_id, now=clock.now(),
        )  # fmt: skip


def settle(home: Home, caller: Caller, mending_id: UUID, verb: Verb) -> Proposal:
    """Approve, refuse or take back a proposal.

    Raises:
        RequestRefused: `proposal-unknown`, `proposal-settled`, `four-eyes-needed`, or what `decide` refuses.
        OutOfService: the file is being weighed just now.
    """
    with home.database.transaction() as tx:
        found = mending.lock(tx, mending_id, caller.org_code)
    if found is None:
        raise RequestRefused("proposal-unknown")
    with _translated():
        state = mending.step(found, verb, caller.client_id)
    batch = _own(home, caller, found.batch_id)
    if state is State.DECIDED and found.what is What.REPLACE:
        return _replace(home, caller, found)
    if state is State.DECIDED:
        _try_again(home, caller, found)
    with _translated():
        if state is State.DECIDED and found.what is What.RECALL:
            with intake_of(home).held(batch.raw_id), home.database.transaction() as tx:
                _settled(tx, caller, mending_id, verb)
        else:
            with home.database.transaction() as tx:
                _settled(tx, caller, mending_id, verb)
    if state is State.DECIDED and found.what is not What.RECALL:
        _weigh(home, batch)
    return _now(home, caller, mending_id)


def weigh_waiting(home: Home) -> int:
    """Weigh the files with decisions that no weighing has taken in yet; say how many. For the job."""
    with home.database.transaction() as tx:
        files = mending.files_unweighed(tx)
    for raw_id in files:
        with suppress(IntakeBusy, BytesDestroyed):
            intake_of(home).weigh(raw_id)
    return len(files)


def say_heading(
    home: Home, caller: Caller, kind: str, heading: str, column: str, *, also: bool, batch_id: UUID | None
) -> ColumnMapping:
    """Remember what a heading is, or propose it where two persons are wanted; weigh one batch again with it.

    Raises:
        RequestRefused: `column-unknown`, `column-mapped-already`, or what stands against weighing the batch.
    """
    if column not in mappings.columns_of(source.current(), kind):
        raise RequestRefused("column-unknown")
    batch = _own(home, caller, batch_id) if batch_id else None
    key = layout.squeezed_heading([heading])
    with _translated(), home.database.transaction() as tx:
        state = mending.first_state(What.CORRECT, four_eyes=mending.four_eyes(tx, caller.org_code))
        said = mappings.propose(
            tx, caller.org_code, kind, key, column, also=also, batch_id=batch_id, state=state,
            proposer=caller.client_id, now=clock.now(),
        )  # fmt: skip
        if batch is not None and state is State.DECIDED:
            mappings.apply_to(tx, batch.raw_id, caller.org_code)
    if batch is not None and state is State.DECIDED:
        _weigh(home, batch)
    return said


def settle_heading(home: Home, caller: Caller, mapping_id: UUID, *, approve: bool) -> None:
    """Approve or refuse what another person has said of a heading; weigh the batch that it was said of with it.

    A batch that has been recalled or replaced since, or whose bytes are gone, stays as it is: the mapping counts for
    what comes.

    Raises:
        RequestRefused: `proposal-unknown`, `proposal-settled` or `four-eyes-needed`.
    """
    batch = None
    with _translated(), home.database.transaction() as tx:
        settled = mappings.settle(
            tx, caller.org_code, mapping_id, approve=approve, person=caller.client_id, now=clock.now()
        )
        if settled is None:
            raise RequestRefused("proposal-unknown")
        if approve and settled.batch_id is not None:
            batch = mending.own_batch(tx, settled.batch_id, caller.org_code)
            if batch is not None:
                mappings.apply_to(tx, batch.raw_id, caller.org_code)
    if batch is not None:
        _weigh(home, batch)


# ---- what follows ---------------------------------------------------------------------------------------------------


def _follow(tx: Transaction, proposal: Proposal, person: str) -> None:
    """Step 3."""
    now = clock.now()
    if proposal.what is What.WITHDRAW:
        gone = recalling.recall_rows(tx, proposal.batch_id, proposal.places, now=now, actor=person)
        recall_notices.notify(tx, gone)
    elif proposal.what is What.RECALL:
        recall_notices.notify(tx, recalling.recall_batch(tx, proposal.batch_id, now=now, actor=person))
        batches.end(tx, proposal.batch_id, batches.RECALLED)


def _weigh(home: Home, batch: OwnBatch) -> None:
    """Step 4. What cannot be weighed now is weighed by the job; of destroyed bytes there is nothing to weigh."""
    if not batch.destroyed:
        with suppress(IntakeBusy, BytesDestroyed):
            intake_of(home).weigh(batch.raw_id)


def _settled(tx: Transaction, caller: Caller, mending_id: UUID, verb: Verb) -> None:
    """Settle under the proposal's lock: it may have been settled since it was read, by the same person or another."""
    standing = mending.lock(tx, mending_id, caller.org_code)
    if standing is None:
        raise RequestRefused("proposal-unknown")
    state = mending.step(standing, verb, caller.client_id)
    mending.settle(tx, standing, state, caller.client_id, now=clock.now())
    if state is State.DECIDED:
        _follow(tx, standing, caller.client_id)


def _replace(home: Home, caller: Caller, found: Proposal) -> Proposal:
    """Replace a batch: approval, new versions and recall in one transaction."""
    if found.successor is None:
        raise RequestRefused("batch-not-replaceable")
    _own(home, caller, found.successor)

    def finish(tx: Transaction) -> None:
        _settled(tx, caller, found.mending_id, Verb.APPROVE)

    with _translated():
        intake_of(home).replace(found.batch_id, found.successor, finish=finish, actor=caller.client_id)
    settled = _now(home, caller, found.mending_id)
    if settled.state is not State.DECIDED:
        raise RequestRefused("batch-not-replaceable")
    return settled


def _now(home: Home, caller: Caller, mending_id: UUID) -> Proposal:
    with home.database.transaction() as tx:
        found = mending.lock(tx, mending_id, caller.org_code)
    if found is None:
        raise RequestRefused("proposal-unknown")
    return found


# ---- may it be ------------------------------------------------------------------------------------------------------


def _own(home: Home, caller: Caller, batch_id: UUID) -> OwnBatch:
    with home.database.transaction() as tx:
        return _still(tx, caller, batch_id)


def _still(tx: Transaction, caller: Caller, batch_id: UUID) -> OwnBatch:
    batch = mending.own_batch(tx, batch_id, caller.org_code)
    if batch is None:
        raise RequestRefused("batch-unknown")
    if batch.state in {batches.RECALLED, batches.REPLACED}:
        raise RequestRefused("batch-ended")
    return batch


def _try_again(home: Home, caller: Caller, found: Proposal) -> None:
    """Try a proposal out once more when it is approved: rows may have been decided of since."""
    with home.database.transaction() as tx:
        said = mending.said_by(tx, home.sealing, [found])[0]
        if mending.final(tx, found.batch_id, found.places):
            raise RequestRefused("row-withdrawn")
    if found.what in {What.ACCEPT, What.CORRECT}:
        wanted = Wanted(found.what, found.places, "", dict(said.get("cells", [])))
        _try_out(provide(home, caller, found.batch_id, purpose=For.DECIDING), wanted)


def _hold_rows(provided: Provided, wanted: Wanted) -> OwnBatch:
    """Hold places to the rows that the file has; give its batch with how many these are today."""
    outcomes, label = provided.weighed(), provided.batch.label
    for sheet, row_no in wanted.places:
        if apparent.end_of(outcomes, label, sheet, row_no) is None:
            raise RequestRefused("row-unknown")
    return replace(provided.batch, rows=sum(one.rows for one in outcomes if one.label == label))


def _as_a_whole(tx: Transaction, batch: OwnBatch, wanted: Wanted) -> Wanted:
    """Make of a withdrawal that leaves nothing of a batch what it is: a recall of all of it."""
    if wanted.what is not What.WITHDRAW:
        return wanted
    gone = mending.withdrawn(tx, batch.batch_id)
    if not mending.nothing_left(batch.rows, gone, wanted.places):
        return wanted
    return replace(wanted, what=What.RECALL, places=())


def _try_out(provided: Provided, wanted: Wanted) -> None:
    """Step 1: a row is accepted only out of quarantine, and a correction counts only if the row is right with it."""
    label = provided.batch.label
    before = provided.weighed()
    for sheet, row_no in wanted.places:
        end = apparent.end_of(before, label, sheet, row_no)
        if end is None:
            raise RequestRefused("row-unknown")
        if wanted.what is What.ACCEPT and end["outcome"] != Outcome.QUARANTINED.value:
            raise RequestRefused("row-not-quarantined")
        if wanted.what is What.ACCEPT and end["code"] in _TO_BE_SPLIT:
            raise RequestRefused("row-to-be-split")
    if wanted.what is not What.CORRECT:
        return
    if not set(wanted.cells) <= provided.headings():
        raise RequestRefused("heading-unknown")
    after = provided.weighed({**provided.mended, label: [*provided.mended.get(label, ()), *_mends(provided, wanted)]})
    for sheet, row_no in wanted.places:
        end = apparent.end_of(after, label, sheet, row_no)
        if end is None or end["outcome"] not in _HELD:
            blocked = next((one.blocked for one in after if one.label == label), None)
            raise RequestRefused("correction-fails", _why(blocked or (str(end["code"]) if end is not None else "")))


def _mends(provided: Provided, wanted: Wanted) -> Mends:
    standing = {
        (one.sheet, one.row_no): dict(one.cells)
        for one in provided.mended.get(provided.batch.label, ())
        if one.act is Act.CORRECT
    }
    return [Mend(Act.CORRECT, *place, {**standing.get(place, {}), **wanted.cells}) for place in wanted.places]


def _why(code: str) -> str:
    found = BY_NAME.get(code)
    return f"{code}: {found.cause.zh}；{found.mend.zh} / {found.cause.en}; {found.mend.en}" if found else code


class _translated:  # noqa: N801  # reads as what it does
    """Turn refusals of the connectors into the doors' own."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, MendingRefused):
            raise RequestRefused(error.code, error.detail) from error
        if isinstance(error, BytesDestroyed):
            raise RequestRefused("bytes-destroyed") from error
        if isinstance(error, IntakeBusy):
            raise OutOfService("the file is being weighed; try again in a moment") from error
