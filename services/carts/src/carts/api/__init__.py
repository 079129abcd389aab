"""What carts may be asked: the merchant's catalogue, the buyer's cart, checkout and payment, and what became of it."""

from carts.api import carts, checkout, orders, payments, products, sales, sandbox
from chassis.http import Api

__all__ = ["router"]

router = Api()
for part in (products, carts, checkout, sales, orders, payments, sandbox):
    router.routes.extend(part.router.routes)
