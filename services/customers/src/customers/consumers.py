"""What customers does when it hears of contacts, buyers, orders and wallet entries."""

from collections.abc import Mapping, Sequence

from chassis import clock, ids, outbox
from chassis.db import Conn
from chassis.inbox import NotYet, Router
from contracts.carts import CartBuyerNamed, CartContactGiven, OrderCancelled, OrderCompleted, OrderPlaced
from contracts.customers import CustomerIdentified
from contracts.fraud import ScreeningRequested
from contracts.ids import CUSTOMER
from contracts.wallet import WalletPosted
from customers import announcements, contacts, figures, store, store_figures
from customers.contacts import Contact, Person
from customers.figures import OrderEvent, Who
from customers.store import Known

router = Router()

People = Mapping[Person, tuple[CartContactGiven, Contact]]


@router.on_ask(CartContactGiven)
async def on_cart_contact_given(events: Sequence[CartContactGiven], conn: Conn) -> None:
    """Say whose carts these are; who is not there yet is made, and what was empty of the others is filled."""
    given = [(event, contacts.read(event)) for event in events]
    people = contacts.merged(given)
    made = await _make(conn, people)
    found = await _find(conn, {person: people[person] for person in people.keys() - made.keys()})
    known = made | found
    for event, contact in given:
        who = known[Person(event.store_id, contact.email.canonical)].who
        answer = CustomerIdentified(
            store_id=event.store_id, cart_id=event.cart_id, revision=event.revision, customer_id=who.customer_id
        )
        outbox.add(conn, answer, because=event)


@router.on_ask(CartBuyerNamed)
async def on_cart_buyers_named(events: Sequence[CartBuyerNamed], conn: Conn) -> None:
    """Ask whether these buyers are welcome, by their e-mail too. Nobody unknown goes by: carts asks again."""
    known = await store.contacts_of(conn, {Who(event.store_id, event.customer_id) for event in events})
    if strangers := [event for event in events if Who(event.store_id, event.customer_id) not in known]:
        raise NotYet("customer", strangers)
    for event in events:
        contact = known[Who(event.store_id, event.customer_id)]
        request = ScreeningRequested(
            store_id=event.store_id,
            screening_id=event.screening_id,
            subject=event.subject,
            email=None if contact.erased else contact.email,
            ip=event.ip,
            customer_id=event.customer_id,
        )
        outbox.add(conn, request, because=event)


async def _make(conn: Conn, people: People) -> dict[Person, Known]:
    """Make and announce the records that are not there yet."""
    now = clock.now()
    new = [(Who(person.store_id, ids.new(CUSTOMER)), people[person][1]) for person in people]
    made = {known.person: known for known in await store.add_customers(conn, new, now)}
    for person, known in made.items():
        outbox.add(conn, announcements.created(known.who, now), because=people[person][0])
    return made


async def _find(conn: Conn, people: People) -> dict[Person, Known]:
    """Find the records that are there, and fill and announce what they lack."""
    found = {known.person: known for known in await store.lock_by_email(conn, list(people))} if people else {}
    filled = []
    for person, known in found.items():
        event, given = people[person]
        whole = known.contact.filled(given)
        if fields := whole.fields_new_to(known.contact):
            filled.append((known.who, whole))
            news = announcements.updated(known.who, known.version + 1, known.state, fields)
            outbox.add(conn, news, because=event)
    if filled:
        await store.fill(conn, filled)
    return found


@router.on(OrderPlaced)
async def on_orders_placed(orders: Sequence[OrderPlaced], conn: Conn) -> None:
    """Know the orders; unpaid, they change no figure."""
    await _fold(conn, orders)


@router.on(OrderCompleted)
async def on_orders_completed(orders: Sequence[OrderCompleted], conn: Conn) -> None:
    """Make leads customers, and add up what they spent."""
    await _fold(conn, orders)


@router.on(OrderCancelled)
async def on_orders_cancelled(orders: Sequence[OrderCancelled], conn: Conn) -> None:
    """Know that the orders ended."""
    await _fold(conn, orders)


async def _fold(conn: Conn, orders: Sequence[OrderEvent]) -> None:
    """Keep the highest version of each order and derive the figures from what is kept: repeats and order cannot hurt.

    An order belongs to the customer of its placement, who never changes; merges are this service's own to follow.
    """
    await _lock(conn, orders)
    known = await store_figures.known_stores(conn, sorted({order.store_id for order in orders}))
    if strangers := [order for order in orders if order.store_id not in known]:
        raise NotYet("store", strangers)
    promoted, moved = await store_figures.fold_orders(conn, figures.newest(orders))
    if moved:
        promoted += await store_figures.refresh_figures(conn, moved)
    because = {Who(order.store_id, order.customer_id): order for order in orders}
    for who, version, state in promoted:
        outbox.add(conn, announcements.updated(who, version, state, ("stage",)), because=because[who])


@router.on(WalletPosted)
async def on_wallet_posted(entries: Sequence[WalletPosted], conn: Conn) -> None:
    """Keep the balances the wallet tells."""
    await _lock(conn, entries)
    await store_figures.keep_balances(conn, figures.latest(entries))


async def _lock(conn: Conn, events: Sequence[OrderEvent | WalletPosted]) -> None:
    """Lock the customers of these events. All are made here; one may only be missing in a database put back."""
    whose = {Who(event.store_id, event.customer_id) for event in events}
    missing = whose - await store_figures.lock_customers(conn, list(whose))
    if missing:
        raise NotYet("customer", [event for event in events if Who(event.store_id, event.customer_id) in missing])
