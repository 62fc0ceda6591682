"""What must be true of the billing tables at any time, as queries for the rows of which it is not.

Each is one statement over whole tables, so that the database does the work. The numbers are those of the invariants
that the documentation lists.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Table, and_, case, func, literal, literal_column, not_, or_, select, union_all

from ..domain.ids import MAX_INTEGER
from ..domain.instants import DAY, FOREVER
from .dialects import AnySelect
from .overdue import is_live
from .tables import (
    alert_fired,
    audit,
    bucket,
    checkout,
    customer,
    entitlement,
    feature,
    hold,
    hold_line,
    horizon,
    intent,
    invoice,
    ledger,
    limit_window,
    local_trial,
    measure,
    metadata,
    meter_event,
    outbox,
    payment_method,
    plan,
    schedule,
    stripe_customer,
    stripe_object,
    subscription,
    unique_value,
    usage_event,
    webhook_event,
)
from .types import Amount, number_param

_NOW = number_param("now")
_RETURNS = ("return", "refund")
_TOLD = ("use", "settle", *_RETURNS)
"""What a use moves, and what gives back."""
_WAITING = ("received", "failed", "processing")
_GIVING = ("active", "trialing", "past_due")
_OWNED = (
    entitlement,
    bucket,
    usage_event,
    subscription,
    checkout,
    invoice,
    schedule,
    payment_method,
    stripe_customer,
    intent,
    meter_event,
    hold,
    limit_window,
    local_trial,
    measure,
    unique_value,
    alert_fired,
    horizon,
)
_PERHAPS_OWNED = (outbox, audit)


def _none(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(column, 0)


def _beyond(customer_id: ColumnElement[Any], seq: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a number lies beyond the customer's horizon: up to there old books are thrown away."""
    old = select(literal(1)).where(horizon.c.customer_id == customer_id, horizon.c.seq >= seq)
    return ~old.exists()


def _unbalanced() -> AnySelect:
    by = ledger.c.bucket_id
    totals = (func.sum(ledger.c.amount).label("used"), func.sum(ledger.c.held).label("held"))
    sums = select(by, *totals).group_by(by).subquery()
    wrong = or_(bucket.c.used != _none(sums.c.used), bucket.c.held != _none(sums.c.held))
    return select(bucket.c.id).select_from(bucket.outerjoin(sums, sums.c.bucket_id == bucket.c.id)).where(wrong)


def _broken_history() -> AnySelect:
    def so_far(amount: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.sum(amount).over(partition_by=ledger.c.bucket_id, order_by=(ledger.c.seq, ledger.c.line))

    told = (ledger.c.bucket_id, ledger.c.used_after, ledger.c.held_after)
    lines = select(*told, so_far(ledger.c.amount).label("used"), so_far(ledger.c.held).label("held")).subquery()
    wrong = or_(lines.c.used_after != lines.c.used, lines.c.held_after != lines.c.held)
    # Of buckets that were thrown away some lines may be left.
    joined = lines.join(bucket, bucket.c.id == lines.c.bucket_id)
    return select(lines.c.bucket_id).select_from(joined).where(wrong).distinct()


def _not_rebuilt() -> AnySelect:
    """Lines of before it was noted do not tell what was included."""
    last_first = (ledger.c.seq.desc(), ledger.c.line.desc())
    place = func.row_number().over(partition_by=ledger.c.bucket_id, order_by=last_first).label("place")
    lines = select(ledger.c.bucket_id, ledger.c.included_after, ledger.c.moved_at, place).subquery()
    joined = bucket.join(lines, and_(lines.c.bucket_id == bucket.c.id, lines.c.place == 1))
    told, stored = lines.c.included_after, bucket.c.amount
    differs = or_(told != stored, and_(told.is_(None), stored.is_not(None)), and_(told.is_not(None), stored.is_(None)))
    return select(bucket.c.id).select_from(joined).where(lines.c.moved_at > 0, differs)


def _wrong_ways() -> AnySelect:
    entry, used, held = ledger.c.entry, ledger.c.amount, ledger.c.held
    right = or_(
        and_(entry == "use", used > 0, held == 0),
        and_(entry == "settle", used > 0, held == -used),
        and_(entry == "hold", used == 0, held > 0),
        and_(entry.in_(("release", "expire")), used == 0, held < 0),
        and_(entry.in_(_RETURNS), used < 0, held == 0),
        and_(entry.in_(("open", "roll")), used >= 0, held == 0),
        entry == "carry",
        and_(entry.in_(("amend", "void")), used == 0, held == 0),
    )
    return select(ledger.c.bucket_id).where(not_(right)).distinct()


def _untold_uses() -> AnySelect:
    """What pools pay at no cost has no lines, nor has what came back of a place that is gone."""
    # Lines of before it was noted pay as many units as they move.
    units = case((ledger.c.moved_at == 0, func.abs(ledger.c.amount)), else_=ledger.c.units)
    by = (ledger.c.customer_id, ledger.c.event_id)
    sums = select(*by, func.sum(units).label("units")).where(ledger.c.entry.in_(_TOLD)).group_by(*by).subquery()
    its = and_(sums.c.event_id == usage_event.c.id, sums.c.customer_id == usage_event.c.customer_id)
    told, funded = _none(sums.c.units), usage_event.c.funded
    has_no_pools = feature.c.credit_cost == literal_column("'{}'")
    its_own = select(literal(1)).where(feature.c.feature_key == usage_event.c.feature_key, has_no_pools)
    short = and_(told < funded, usage_event.c.mode != "refund", its_own.exists())
    whole = _beyond(usage_event.c.customer_id, usage_event.c.seq)
    wrong = or_(told > funded, and_(short, whole))
    return select(usage_event.c.id).select_from(usage_event.outerjoin(sums, its)).where(wrong)


def _parts() -> AnySelect:
    t = usage_event.c
    # A level that is set is used, or given back.
    used = and_(t.mode.not_in(_RETURNS), t.quantity == t.funded + t.unfunded)
    given_back = and_(t.mode.in_((*_RETURNS, "set")), t.quantity == -t.funded)
    uncovered = and_(t.mode == "require", t.unfunded != 0)
    return select(t.id).where(or_(not_(or_(used, given_back)), t.funded < 0, t.unfunded < 0, uncovered))


def _wrong_refunds() -> AnySelect:
    t, back = usage_event.c, usage_event.alias("back").c
    by = (back.customer_id, back.refund_of)
    sums = select(*by, func.sum(back.funded).label("total")).where(back.refund_of != "").group_by(*by).subquery()
    its = and_(sums.c.refund_of == t.id, sums.c.customer_id == t.customer_id)
    untold = and_(t.refunded != _none(sums.c.total), _beyond(t.customer_id, t.seq))
    wrong = or_(t.refunded > t.funded, untold)
    return select(t.id).select_from(usage_event.outerjoin(sums, its)).where(wrong)


def _lines_of_nothing() -> AnySelect:
    joined = ledger.outerjoin(usage_event, usage_event.c.id == ledger.c.event_id)
    lost = and_(ledger.c.event_id != "", ledger.c.entry.in_(_TOLD), usage_event.c.id.is_(None))
    return select(ledger.c.event_id).select_from(joined).where(lost).distinct()


def _held_by_nobody() -> AnySelect:
    by = hold_line.c.bucket_id
    lines = hold_line.join(hold, and_(hold.c.id == hold_line.c.hold_id, hold.c.status == "open"))
    sums = select(by, func.sum(hold_line.c.amount).label("held")).select_from(lines).group_by(by).subquery()
    joined = bucket.outerjoin(sums, sums.c.bucket_id == bucket.c.id)
    return select(bucket.c.id).select_from(joined).where(bucket.c.held != _none(sums.c.held))


def _wrong_holds() -> AnySelect:
    """What pools pay at no cost has no lines."""
    by = hold_line.c.hold_id
    sums = select(by, func.sum(hold_line.c.units).label("units")).group_by(by).subquery()
    ended = and_(hold.c.status != "open", or_(hold.c.left_units != 0, sums.c.units.is_not(None)))
    dated = or_(
        and_(hold.c.status == "open", hold.c.ended_at != FOREVER),
        and_(hold.c.status != "open", hold.c.ended_at == FOREVER),
    )
    wrong = or_(_none(sums.c.units) > hold.c.left_units, ended, dated)
    return select(hold.c.id).select_from(hold.outerjoin(sums, sums.c.hold_id == hold.c.id)).where(wrong)


def _held_of_nothing() -> AnySelect:
    its = and_(bucket.c.id == hold_line.c.bucket_id, bucket.c.feature_key == hold_line.c.feature_key)
    joined = hold_line.outerjoin(bucket, its)
    return select(hold_line.c.hold_id).select_from(joined).where(bucket.c.id.is_(None)).distinct()


def _overcounted() -> AnySelect:
    """Windows that run, against everything that was drawn or set aside since they began."""
    w = limit_window.c

    def total(amount: Any, table: Any, key: Table, since: ColumnElement[Any], *where: ColumnElement[bool]) -> Any:
        mine = (table.c.customer_id == w.customer_id, key.c.feature_key == w.feature_key, since >= w.window_start)
        joined = table if key is table else table.join(key, key.c.id == ledger.c.bucket_id)
        return _none(select(func.sum(amount)).select_from(joined).where(*mine, *where).scalar_subquery())

    moved = ledger.c.amount + ledger.c.held
    used = total(usage_event.c.funded, usage_event, usage_event, usage_event.c.received_at, usage_event.c.quantity > 0)
    held = total(hold.c.quantity, hold, hold, hold.c.created_at)
    drawn = total(moved, ledger, bucket, ledger.c.moved_at, moved > 0)
    return select(w.limit_id).where(w.window_end > _NOW, w.used > used + held + drawn)


def _window_overlaps() -> AnySelect:
    t = limit_window.c
    of = (t.customer_id, t.limit_id, t.entity_id)
    before = func.lag(t.window_end).over(partition_by=of, order_by=t.window_start)
    rows = select(t.limit_id, t.window_start, before.label("before")).subquery()
    return select(rows.c.limit_id).where(rows.c.before > rows.c.window_start)


def _wrong_heirs() -> AnySelect:
    heir = bucket.alias("heir")
    its = and_(
        heir.c.id == bucket.c.heir_id,
        heir.c.customer_id == bucket.c.customer_id,
        heir.c.feature_key == bucket.c.feature_key,
        heir.c.entity_id == bucket.c.entity_id,
    )
    # One whose period was over long ago may be gone.
    lost = and_(heir.c.id.is_(None), _beyond(bucket.c.customer_id, literal(0)))
    wrong = or_(lost, heir.c.id == bucket.c.id, bucket.c.held != 0)
    return select(bucket.c.id).select_from(bucket.outerjoin(heir, its)).where(bucket.c.heir_id != "", wrong)


def _repeated(table: Table, name: Any, *by: Any, where: ColumnElement[bool] | None = None) -> AnySelect:
    found = select(func.min(name)).group_by(*by).having(func.count() > 1)
    return found if where is None else found.where(where)


def _plan_of_nothing() -> AnySelect:
    gives = select(literal(1)).where(
        subscription.c.customer_id == customer.c.id,
        subscription.c.plan == customer.c.plan,
        subscription.c.duplicate == 0,
    )
    tried = select(literal(1)).where(local_trial.c.customer_id == customer.c.id, local_trial.c.plan == customer.c.plan)
    return select(customer.c.id).where(customer.c.plan.is_not(None), ~gives.exists(), ~tried.exists())


def _two_owners() -> AnySelect:
    joined = stripe_customer.join(customer, customer.c.stripe_customer_id == stripe_customer.c.id)
    return select(stripe_customer.c.id).select_from(joined).where(stripe_customer.c.customer_id != customer.c.id)


def _overlaps() -> AnySelect:
    before = func.lag(bucket.c.period_end).over(partition_by=bucket.c.entitlement_id, order_by=bucket.c.period_no)
    rows = (
        select(bucket.c.id, bucket.c.period_start, before.label("before"))
        .where(bucket.c.closed_at == FOREVER)
        .subquery()
    )
    return select(rows.c.id).where(rows.c.before > rows.c.period_start)


def _untold_state() -> AnySelect:
    its = and_(
        stripe_object.c.kind == "subscription", stripe_object.c.stripe_id == subscription.c.stripe_subscription_id
    )
    return (
        select(subscription.c.stripe_subscription_id)
        .select_from(subscription.outerjoin(stripe_object, its))
        .where(_none(stripe_object.c.applied_ticket) == 0)
    )


def _out_of_order() -> AnySelect:
    first = func.min(outbox.c.position).label("first")
    waits = (outbox.c.customer_id != "") & (outbox.c.sent_at == FOREVER)
    waiting = select(outbox.c.customer_id, first).where(waits).group_by(outbox.c.customer_id).subquery()
    joined = outbox.join(waiting, waiting.c.customer_id == outbox.c.customer_id)
    return (
        select(outbox.c.id).select_from(joined).where(outbox.c.sent_at != FOREVER, outbox.c.position > waiting.c.first)
    )


def _missing() -> AnySelect:
    its = and_(
        stripe_object.c.kind == "subscription", stripe_object.c.stripe_id == subscription.c.stripe_subscription_id
    )
    return (
        select(subscription.c.stripe_subscription_id)
        .select_from(subscription.join(stripe_object, its))
        .where(stripe_object.c.deleted == 1, is_live(subscription.c.status))
    )


def _unheard() -> AnySelect:
    """The topic of each with its id: the topic tells which hook it is that fails."""
    waits = and_(outbox.c.sent_at == FOREVER, outbox.c.created_at < _NOW - DAY)
    return select(outbox.c.topic.concat(" ").concat(outbox.c.id)).where(waits)


def _first_key(table: Table) -> Any:
    return next(iter(table.primary_key)).label("id")


def _out_of_range() -> AnySelect:
    """Every table with numbers; SQLite's are STRICT, so that no other type can be stored."""
    parts: list[AnySelect] = []
    for table in metadata.tables.values():
        numbers = [each for each in table.columns if isinstance(each.type, Amount) and each.autoincrement is not True]
        beyond = [or_(each > MAX_INTEGER, each < -MAX_INTEGER) for each in numbers]
        if beyond and not isinstance(next(iter(table.primary_key)).type, Amount):
            parts.append(select(_first_key(table)).where(or_(*beyond)))
    found = union_all(*parts).subquery()
    return select(found.c.id)


def _orphans() -> AnySelect:
    parts: list[AnySelect] = [select(customer.c.id.label("id")).where(customer.c.reference_id == "")]
    for table in (*_OWNED, *_PERHAPS_OWNED):
        lost = and_(customer.c.id.is_(None), table.c.customer_id != "")
        lost = customer.c.id.is_(None) if table in _OWNED else lost
        name = table.c.id if "id" in table.c else _first_key(table)
        joined = table.outerjoin(customer, customer.c.id == table.c.customer_id)
        parts.append(select(name.label("id")).select_from(joined).where(lost))
    grants = bucket.outerjoin(entitlement, entitlement.c.id == bucket.c.entitlement_id)
    parts.append(select(bucket.c.id.label("id")).select_from(grants).where(entitlement.c.id.is_(None)))
    versions = subscription.outerjoin(plan, plan.c.id == subscription.c.plan_version_id)
    unsold = and_(subscription.c.plan_version_id.is_not(None), plan.c.id.is_(None))
    parts.append(select(subscription.c.id.label("id")).select_from(versions).where(unsold))
    found = union_all(*parts).subquery()
    return select(found.c.id)


def _of_the_future() -> AnySelect:
    parts = [
        select(name.label("id"))
        .select_from(table.join(customer, customer.c.id == table.c.customer_id))
        .where(sequence > customer.c.ledger_seq)
        for table, name, sequence in (
            (entitlement, entitlement.c.id, entitlement.c.created_seq),
            (usage_event, usage_event.c.id, usage_event.c.seq),
            (ledger, ledger.c.bucket_id, ledger.c.seq),
        )
    ]
    found = union_all(*parts).subquery()
    return select(found.c.id)


_b, _i, _w, _s, _o = bucket.c, intent.c, webhook_event.c, subscription.c, stripe_object.c
RULES: tuple[tuple[str, str, AnySelect], ...] = (
    ("I1", "the ledger adds up to what is used and held of every bucket", _unbalanced()),
    ("I1", "every line of the ledger follows from those before it", _broken_history()),
    ("I1", "the ledger tells what every bucket includes", _not_rebuilt()),
    ("I1", "every line of the ledger moves the way that its entry says", _wrong_ways()),
    ("I1", "every use is in the ledger with what it drew", _untold_uses()),
    ("I1", "no line is numbered beyond its customer's ledger", _of_the_future()),
    (
        "I2",
        "no bucket gave more than it had",
        select(_b.id).where(or_(_b.used < 0, _b.held < 0, _b.used + _b.held > _b.amount)),
    ),
    ("I2", "what is held of a bucket is held by open holds", _held_by_nobody()),
    ("I2", "a hold holds no more than is left of it, and nothing when it has ended", _wrong_holds()),
    ("I2", "what a hold holds is of a bucket that is there", _held_of_nothing()),
    ("I2", "no usage limit counts more than was used or held in its window", _overcounted()),
    ("I3", "no use came back beyond what it drew, and every refund is noted", _wrong_refunds()),
    ("I3", "the parts of every use are its whole, and `require` is covered", _parts()),
    ("I3", "every line of a use names one that is there", _lines_of_nothing()),
    (
        "I3",
        "an idempotency key was used once",
        _repeated(usage_event, usage_event.c.id, usage_event.c.customer_id, usage_event.c.idempotency_key),
    ),
    (
        "I4",
        "a customer has one live subscription in a plan group, or a flag says otherwise",
        _repeated(
            subscription,
            _s.id,
            _s.customer_id,
            _s.plan_group,
            where=and_(is_live(_s.status), _s.plan.is_not(None), _s.duplicate == 0),
        ),
    ),
    ("I4", "a customer's plan comes from a subscription", _plan_of_nothing()),
    ("I5", "a Stripe customer belongs to one customer here", _two_owners()),
    (
        "I5",
        "a Stripe customer is linked once",
        _repeated(
            customer, customer.c.id, customer.c.stripe_customer_id, where=customer.c.stripe_customer_id.is_not(None)
        ),
    ),
    (
        "I5",
        "a Stripe subscription is stored once",
        _repeated(subscription, _s.id, _s.stripe_subscription_id),
    ),
    (
        "I6",
        "a reference has one customer",
        _repeated(customer, customer.c.id, customer.c.customer_type, customer.c.reference_id),
    ),
    (
        "I7",
        "no call to Stripe is without an outcome for more than a day",
        select(_i.idempotency_key).where(_i.state == "pending", _i.created_at < _NOW - DAY),
    ),
    (
        "I8",
        "every event that is not done with is worked on again",
        select(_w.event_id).where(_w.status.in_(_WAITING), _w.lease_until > _NOW + 7 * DAY),
    ),
    ("I9", "the periods of a grant do not overlap", _overlaps()),
    ("I9", "the windows of a usage limit do not overlap", _window_overlaps()),
    ("I9", "usage that a change of plan carried on is where it was carried to", _wrong_heirs()),
    ("I9", "every period ends after it began", select(_b.id).where(_b.period_start >= _b.period_end)),
    (
        "I10",
        "no state is stored under a ticket that was never given out",
        select(_o.stripe_id).where(_o.applied_ticket > _o.next_ticket),
    ),
    ("I10", "every subscription is stored under a ticket", _untold_state()),
    ("I13", "every number is one that JSON holds exactly", _out_of_range()),
    ("I14", "every row belongs to a customer that is there", _orphans()),
    ("I16", "events were sent in the order of their customer", _out_of_order()),
    (
        "inbox.dead",
        "events that failed for good: `webhooks.retry()` tries them again",
        select(_w.event_id).where(_w.status == "dead"),
    ),
    (
        "inbox.unmatched",
        "events of customers that nobody linked",
        select(_w.event_id).where(_w.status == "unmatched"),
    ),
    (
        "inbox.waiting",
        "events that wait for more than a day: does `jobs.run()` run?",
        select(_w.event_id).where(_w.status.in_(_WAITING), _w.received_at < _NOW - DAY),
    ),
    (
        "hooks.waiting",
        "events that hooks did not take for more than a day, and with them every later one of their customer",
        _unheard(),
    ),
    (
        "intents.parked",
        "calls to Stripe whose outcome nobody knows",
        select(_i.idempotency_key).where(_i.state == "parked"),
    ),
    (
        "subscriptions.duplicate",
        "second live subscriptions of a plan group, which a customer pays for and which give nothing",
        select(_s.stripe_subscription_id).where(_s.duplicate == 1, is_live(_s.status)),
    ),
    (
        "subscriptions.missing",
        "live subscriptions that Stripe does not know: is the key one of their account?",
        _missing(),
    ),
    (
        "subscriptions.unmapped",
        "live subscriptions whose prices no plan sells",
        select(_s.stripe_subscription_id).where(_s.plan.is_(None), _s.status.in_(_GIVING)),
    ),
)
"""The id of each rule, its title, and a query for the ids of what breaks it; `now` is its parameter."""
