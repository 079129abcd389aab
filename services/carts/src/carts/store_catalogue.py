"""Products in the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chassis.db import Conn


@dataclass(frozen=True, slots=True)
class Product:
    """Something for sale, in minor units of the store's currency."""

    product_id: str
    sku: str
    name: str
    price_minor: int
    active: bool
    created_at: datetime


async def add_product(conn: Conn, store_id: str, product: Product) -> bool:
    """Add a product; ``False``: its SKU is taken."""
    added = await conn.execute(
        """
        INSERT INTO product (store_id, product_id, sku, name, price_minor, active, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT ON CONSTRAINT product_sku DO NOTHING
        """,
        store_id,
        product.product_id,
        product.sku,
        product.name,
        product.price_minor,
        product.active,
        product.created_at,
    )
    return added == 1


async def page_of_products(
    conn: Conn, store_id: str, *, active: bool | None, before_id: str | None, count: int
) -> list[Product]:
    """Newest first; their ids sort by time."""
    rows = await conn.rows(
        """
        SELECT product_id, sku, name, price_minor, active, created_at FROM product
        WHERE store_id = $1 AND ($2::boolean IS NULL OR active = $2) AND ($3::text IS NULL OR product_id < $3)
        ORDER BY product_id DESC LIMIT $4
        """,
        store_id,
        active,
        before_id,
        count,
    )
    return [Product(**row) for row in rows]


async def products(conn: Conn, store_id: str, ids: Sequence[str], skus: Sequence[str]) -> list[Product]:
    """The products with these ids or these SKUs, as far as there are such."""
    rows = await conn.rows(
        """
        SELECT product_id, sku, name, price_minor, active, created_at FROM product
        WHERE store_id = $1 AND (product_id = ANY($2::text[]) OR sku = ANY($3::text[]))
        """,
        store_id,
        ids,
        skus,
    )
    return [Product(**row) for row in rows]
