"""What a key may do (design §5)."""

_NOUNS = ("affiliates", "carts", "catalog", "customers", "fraud", "orders", "subscriptions", "wallet")

EVERY = (*(f"{noun}.{verb}" for noun in _NOUNS for verb in ("read", "write")), "invoices.read", "webhooks.write")

# Held by publishable keys, which open /storefront/v1 only; what they may do there needs no scope.
STOREFRONT = ("catalog.read",)

INTERNAL = "internal"
