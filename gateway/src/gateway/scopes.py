"""What a key may do (design §5)."""

_NOUNS = ("affiliates", "carts", "catalog", "customers", "fraud", "orders", "subscriptions", "wallet")

EVERY = (*(f"{noun}.{verb}" for noun in _NOUNS for verb in ("read", "write")), "invoices.read", "webhooks.write")

# Held by publishable keys, which the gateway lets to /storefront/v1 only.
STOREFRONT = ("carts.read", "carts.write", "catalog.read", "orders.read", "orders.write")

INTERNAL = "internal"
