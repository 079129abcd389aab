"""What a key may do (design §5)."""

_NOUNS = ("affiliates", "carts", "catalog", "customers", "fraud", "orders", "subscriptions", "wallet")

EVERY = (*(f"{noun}.{verb}" for noun in _NOUNS for verb in ("read", "write")), "invoices.read", "webhooks.write")

# Held by publishable keys, which open /storefront/v1 only: a visitor's carts and orders, each known by its id alone.
STOREFRONT = ("catalog.read", "carts.read", "carts.write", "orders.read", "orders.write")

INTERNAL = "internal"
