"""What a change does to each item: the new plan is sold whole, what is not the plan's stays, and nothing else moves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.item_moves import moves, phase_params, update_params
from kernia_billing.domain.subscriptions import SubscriptionItem

PRICES = st.sampled_from([f"price_{letter}" for letter in "abcdefgh"])


def item(number: int, price: str, quantity: int | None) -> SubscriptionItem:
    """An item of a subscription."""
    return SubscriptionItem(f"si_{number}", price, None, "month", quantity, 0, 1)


@st.composite
def subscriptions(draw: st.DrawFn) -> tuple[SubscriptionItem, ...]:
    """A subscription of one to five different prices."""
    prices = draw(st.lists(PRICES, min_size=1, max_size=5, unique=True))
    return tuple(item(n, price, draw(st.none() | st.integers(1, 9))) for n, price in enumerate(prices))


@given(
    items=subscriptions(),
    lines=st.lists(
        st.tuples(PRICES, st.none() | st.integers(1, 9)), min_size=1, max_size=4, unique_by=lambda each: each[0]
    ),
    owned=st.sets(PRICES),
)
def test_the_lines_are_sold_and_what_is_not_owned_stays(
    items: tuple[SubscriptionItem, ...], lines: list[tuple[str, int | None]], owned: set[str]
) -> None:
    """Carried out by a model of Stripe, the moves give the lines, and foreign items as they were."""
    base = items[0]
    made = moves(items, lines, base=base.id, owned=owned)

    sold = {each.id: (each.price_id, each.quantity) for each in items}
    for number, told in enumerate(update_params(made)):
        if told.get("deleted"):
            del sold[told["id"]]
        else:
            before = sold.get(told.get("id", ""), ("", None))
            price = told.get("price", before[0])
            kept = before[1] if price == before[0] else None
            sold[told.get("id", f"new_{number}")] = (price, told.get("quantity", kept))

    after = [price for price, _ in sold.values()]
    assert len(after) == len(set(after)), "no price twice: Stripe refuses that"
    wanted = dict(lines)
    for price, count in wanted.items():
        assert price in after
        if count is not None:
            assert (price, count) in sold.values()
    for each in items[1:]:
        if each.price_id not in wanted:
            assert (each.price_id in after) is (each.price_id not in owned)
    assert sold[base.id][0] == lines[0][0], "the plan's own item stays the one it is"
    assert {(each["price"], each.get("quantity")) for each in phase_params(made)} == set(sold.values())


def test_a_seat_is_swapped_for_a_seat() -> None:
    """The price of a seat takes the item of the old plan's seat, so that its proration is one of seats."""
    items = (item(0, "base", 1), item(1, "seat", 4), item(2, "addon", 1))
    made = moves(
        items, [("base2", 1), ("seat2", 4)], base="si_0", seat_price="seat", new_seat_price="seat2", owned={"seat"}
    )
    assert update_params(made) == [
        {"id": "si_0", "price": "base2", "quantity": 1},
        {"id": "si_1", "price": "seat2", "quantity": 4},
    ]


def test_nothing_is_said_of_what_stays() -> None:
    """The same plan once more moves nothing."""
    items = (item(0, "base", 1), item(1, "meter", None))
    assert update_params(moves(items, [("base", 1), ("meter", None)], base="si_0", owned={"meter"})) == []
