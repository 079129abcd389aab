"""The sandbox: a provider's page on which a buyer plays its part, and a page for a shop that has none of its own."""

from dataclasses import dataclass
from enum import StrEnum
from html import escape

NAME = "sandbox"

CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"


class Outcome(StrEnum):
    """What the buyer lets the provider say."""

    APPROVE = "approve"
    DECLINE = "decline"


@dataclass(frozen=True, slots=True)
class Bill:
    """What the page shows; ``amount`` is in major units."""

    order_number: str
    items: tuple[str, ...]
    amount: str
    status: str
    payable: bool


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 28rem; margin: 10vh auto; padding: 0 1rem; color: #1b1b1f }}
button {{ font: inherit; padding: .6rem 1.2rem; margin-right: .5rem; border: 1px solid #1b1b1f; border-radius: .4rem }}
button[value=approve] {{ background: #1b1b1f; color: #fff }}
.test {{ background: #fff3c4; padding: .2rem .5rem; border-radius: .3rem }}
</style></head>
<body><p><span class="test">Sandbox: no money moves</span></p>
<h1>{title}</h1>{rest}</body></html>
"""

_BILL = "<ul>{items}</ul><p>To pay: <strong>{amount}</strong></p>{rest}"

_BUTTONS = """<form method="post"><button name="outcome" value="approve">Approve payment</button>
<button name="outcome" value="decline">Decline</button></form>"""

_SAID = {
    "APPROVED": "Paid. Thank you! You can close this page.",
    "DECLINED": "The payment was declined. Go back to the store to try again.",
}


def page(bill: Bill) -> str:
    """The hosted page, self-contained."""
    said = _SAID.get(bill.status, "There is nothing to pay here any more.")
    rest = _BILL.format(
        items="".join(f"<li>{escape(item)}</li>" for item in bill.items),
        amount=escape(bill.amount),
        rest=_BUTTONS if bill.payable else f'<p role="status">{said}</p>',
    )
    return _PAGE.format(title=escape(f"Order {bill.order_number}"), rest=rest)


def front(slug: str, code: str) -> str:
    """Where an affiliate's link ends for a shop without a storefront; it has nothing to sell."""
    came = f"<p>You came by the link of <strong>{escape(code)}</strong>: what you buy earns them a share.</p>"
    told = "<p>A real store has its storefront here: it fills carts and checks out over the API.</p>"
    return _PAGE.format(title=escape(f"The shop {slug}"), rest=(came if code else "") + told)
