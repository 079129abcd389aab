"""Every id prefix of the platform, and the types that check them.

An id is a TypeID: ``prefix_`` and 26 characters of base32 that hold a UUIDv7, the same in API, events and
databases (design §1 rule 8). A new noun adds its prefix here and nowhere else.
"""

from typing import Annotated

from pydantic import StringConstraints

SUFFIX = "[0-7][0-9a-hjkmnp-tv-z]{25}"

STORE = "store"
API_KEY = "key"
CUSTOMER = "cus"
AFFILIATE = "aff"
COMMISSION = "com"
CLAIM = "claim"
WALLET_ENTRY = "wallet_tx"
HOLD = "hold"
PROMOTION = "promo"
GIFT_CODE = "gift"
GIFT_BATCH = "gifts"
MAIL = "mail"
RULE = "block"
SCREENING = "scr"
PRODUCT = "prod"
CART = "cart"
ORDER = "order"
INVOICE = "inv"
PAYMENT_SESSION = "pay"


def _typeid(prefix: str) -> StringConstraints:
    return StringConstraints(pattern=f"^{prefix}_{SUFFIX}$", max_length=len(prefix) + 27)


StoreId = Annotated[str, _typeid(STORE)]
CustomerId = Annotated[str, _typeid(CUSTOMER)]
AffiliateId = Annotated[str, _typeid(AFFILIATE)]
CommissionId = Annotated[str, _typeid(COMMISSION)]
ClaimId = Annotated[str, _typeid(CLAIM)]
WalletEntryId = Annotated[str, _typeid(WALLET_ENTRY)]
HoldId = Annotated[str, _typeid(HOLD)]
PromotionId = Annotated[str, _typeid(PROMOTION)]
GiftCodeId = Annotated[str, _typeid(GIFT_CODE)]
GiftBatchId = Annotated[str, _typeid(GIFT_BATCH)]
MailId = Annotated[str, _typeid(MAIL)]
RuleId = Annotated[str, _typeid(RULE)]
ScreeningId = Annotated[str, _typeid(SCREENING)]
ProductId = Annotated[str, _typeid(PRODUCT)]
CartId = Annotated[str, _typeid(CART)]
OrderId = Annotated[str, _typeid(ORDER)]
InvoiceId = Annotated[str, _typeid(INVOICE)]
PaymentSessionId = Annotated[str, _typeid(PAYMENT_SESSION)]
