"""The catalogue."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from carts import store_catalogue
from carts.api.fields import Name, Sku
from carts.store_catalogue import Product
from carts.totals import HIGHEST_PRICE_MINOR
from chassis import clock, ids, stores
from chassis.http import Api, Caller, Conn, Data, policy
from chassis.money import Amount, Major, major
from chassis.pagination import CursorParameter, Limit, Page, only_key, page_of, read_cursor
from chassis.problems import Flaw, Invalid, Refused
from contracts.ids import PRODUCT, ProductId

_PRODUCT_ID: TypeAdapter[str] = TypeAdapter(ProductId)

router = Api()


class SkuTaken(Refused):
    """SKUs are unique in a store."""

    code = "sku_taken"
    title = "Another product has this SKU"


class NewProduct(BaseModel):
    """``price`` is in the store's currency."""

    model_config = ConfigDict(extra="forbid")

    sku: Sku
    name: Name
    price: Amount = Field(description="In the store's currency")
    active: bool = True


class ProductReply(BaseModel):
    """A product."""

    id: str
    sku: str
    name: str
    price: Major
    currency: str
    active: bool
    created_at: datetime


@router.post("/dev/v1/products", status_code=201)
@policy("catalog.write")
async def create_product(body: NewProduct, caller: Caller, conn: Conn) -> Data[ProductReply]:
    """Put a product up for sale. 409 ``sku_taken``."""
    currency = await stores.currency(conn, caller.store_id)
    price_minor = body.price.minor(currency, pointer="/price")
    if not 0 <= price_minor <= HIGHEST_PRICE_MINOR:
        message = f"a price is 0 to {major(HIGHEST_PRICE_MINOR, currency)}"
        raise Invalid(message, errors=[Flaw(pointer="/price", code="amount_range", message=message)])
    product = Product(ids.new(PRODUCT), body.sku, body.name, price_minor, body.active, clock.now())
    if not await store_catalogue.add_product(conn, caller.store_id, product):
        raise SkuTaken
    return Data(data=_shown(product, currency))


@router.get("/dev/v1/products")
@policy("catalog.read")
async def list_products(
    caller: Caller, conn: Conn, limit: Limit = 50, cursor: CursorParameter = None, *, active: bool | None = None
) -> Page[ProductReply]:
    """The catalogue, newest first."""
    currency = await stores.currency(conn, caller.store_id)
    filters = {"active": active}
    before_id = only_key(read_cursor(cursor, filters), _PRODUCT_ID)
    found = await store_catalogue.page_of_products(
        conn, caller.store_id, active=active, before_id=before_id, count=limit + 1
    )
    return page_of(found, limit, lambda row: _shown(row, currency), lambda row: [row.product_id], filters)


@router.get("/storefront/v1/products")
@policy("catalog.read")
async def list_for_sale(
    caller: Caller, conn: Conn, limit: Limit = 50, cursor: CursorParameter = None
) -> Page[ProductReply]:
    """What a storefront may show, newest first."""
    return await list_products(caller, conn, limit, cursor, active=True)


def _shown(product: Product, currency: str) -> ProductReply:
    return ProductReply(
        id=product.product_id,
        sku=product.sku,
        name=product.name,
        price=major(product.price_minor, currency),
        currency=currency,
        active=product.active,
        created_at=product.created_at,
    )
