-- Catalogue, carts, orders and their payments. Amounts are minor units of the row's (or the cart's) currency.

CREATE TABLE product (
    store_id text NOT NULL,
    product_id text NOT NULL,
    sku text NOT NULL,
    name text NOT NULL,
    price_minor bigint NOT NULL CHECK (price_minor BETWEEN 0 AND 10000000000),
    active boolean NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (store_id, product_id),
    CONSTRAINT product_sku UNIQUE (store_id, sku)
);
SELECT tenant_table('product');

-- A cart is closed while an order of it lives; that is read from the orders, so the two cannot disagree.
-- contact_revision counts the contacts given; customer_id answers the latest one.
CREATE TABLE cart (
    store_id text NOT NULL,
    cart_id text NOT NULL,
    currency text NOT NULL,
    affiliate_code text,
    contact_revision int NOT NULL DEFAULT 0,
    email text,
    name text,
    phone text,
    country text,
    customer_id text,
    opened_at timestamptz NOT NULL,
    PRIMARY KEY (store_id, cart_id)
);
SELECT tenant_table('cart');

-- shown_price_minor is what the buyer last saw when they put it in; the price charged is the product's.
CREATE TABLE cart_item (
    store_id text NOT NULL,
    cart_id text NOT NULL,
    product_id text NOT NULL,
    quantity int NOT NULL CHECK (quantity BETWEEN 1 AND 999),
    shown_price_minor bigint NOT NULL,
    position bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (store_id, cart_id, product_id),
    FOREIGN KEY (store_id, cart_id) REFERENCES cart,
    FOREIGN KEY (store_id, product_id) REFERENCES product
);
SELECT tenant_table('cart_item');

CREATE TABLE "order" (
    store_id text NOT NULL,
    order_id text NOT NULL,
    cart_id text NOT NULL,
    number text NOT NULL,
    status text NOT NULL CHECK (status IN ('PLACED', 'UNDER_REVIEW', 'AWAITING_PAYMENT', 'COMPLETED',
                                           'PARTIALLY_REFUNDED', 'REFUNDED', 'CANCELLED', 'DISPUTED')),
    refusal text,
    version int NOT NULL,
    currency text NOT NULL,
    gross_minor bigint NOT NULL CHECK (gross_minor >= 0),
    asked_credit_minor bigint NOT NULL CHECK (asked_credit_minor >= 0),
    paid_minor bigint NOT NULL CHECK (paid_minor >= 0),
    customer_id text,
    affiliate_code text,
    gateway text,
    client_ip text,
    screening_id text NOT NULL,
    screening text NOT NULL,
    hold_id text NOT NULL,
    credit text NOT NULL,
    answered boolean NOT NULL DEFAULT false,
    placed_at timestamptz NOT NULL,
    first_completed_at timestamptz,
    PRIMARY KEY (store_id, order_id),
    UNIQUE (store_id, number),
    UNIQUE (store_id, hold_id),
    UNIQUE (store_id, screening_id),
    FOREIGN KEY (store_id, cart_id) REFERENCES cart,
    CHECK (CASE credit WHEN 'uncaptured' THEN 0 ELSE asked_credit_minor END + paid_minor <= gross_minor),
    CHECK ((status = 'CANCELLED') = (refusal IS NOT NULL))
);
CREATE UNIQUE INDEX order_one_living_per_cart ON "order" (store_id, cart_id) WHERE status <> 'CANCELLED';
SELECT tenant_table('"order"');

CREATE TABLE order_line (
    store_id text NOT NULL,
    order_id text NOT NULL,
    position int NOT NULL,
    product_id text NOT NULL,
    sku text NOT NULL,
    name text NOT NULL,
    quantity int NOT NULL CHECK (quantity > 0),
    unit_minor bigint NOT NULL CHECK (unit_minor >= 0),
    PRIMARY KEY (store_id, order_id, position),
    FOREIGN KEY (store_id, order_id) REFERENCES "order"
);
SELECT tenant_table('order_line', api => 'SELECT, INSERT', worker => 'SELECT');

CREATE TABLE invoice (
    store_id text NOT NULL,
    invoice_id text NOT NULL,
    order_id text NOT NULL,
    number bigint,
    completed_at timestamptz,
    PRIMARY KEY (store_id, invoice_id),
    UNIQUE (store_id, order_id),
    UNIQUE (store_id, number),
    FOREIGN KEY (store_id, order_id) REFERENCES "order"
);
CREATE INDEX invoice_unnumbered ON invoice (store_id) WHERE completed_at IS NOT NULL AND number IS NULL;
SELECT tenant_table('invoice');

CREATE TABLE invoice_counter (
    store_id text PRIMARY KEY,
    last bigint NOT NULL
);
SELECT tenant_table('invoice_counter', api => 'SELECT, INSERT, UPDATE', worker => 'SELECT, INSERT, UPDATE');

-- A session pays what is due once paid_before_minor was paid: of two for the same part only one can be approved.
CREATE TABLE payment_session (
    store_id text NOT NULL,
    payment_session_id text NOT NULL,
    order_id text NOT NULL,
    provider text NOT NULL,
    paid_before_minor bigint NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    status text NOT NULL CHECK (status IN ('OPEN', 'APPROVED', 'DECLINED')),
    opened_at timestamptz NOT NULL,
    decided_at timestamptz,
    PRIMARY KEY (store_id, payment_session_id),
    FOREIGN KEY (store_id, order_id) REFERENCES "order"
);
CREATE UNIQUE INDEX payment_session_one_approved_per_part
    ON payment_session (store_id, order_id, paid_before_minor) WHERE status = 'APPROVED';
SELECT tenant_table('payment_session');

-- Numbers are gap-free, so a store's counter must be held until the commit. It is taken inside the commit, after all
-- other locks, however many orders a batch completes: nobody who holds a counter ever waits for an order.
CREATE FUNCTION number_completed_invoices() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    completed record;
    drawn bigint;
BEGIN
    FOR completed IN
        SELECT store_id, invoice_id FROM invoice WHERE completed_at IS NOT NULL AND number IS NULL
        ORDER BY store_id, completed_at, invoice_id
    LOOP
        INSERT INTO invoice_counter AS c (store_id, last) VALUES (completed.store_id, 1)
        ON CONFLICT (store_id) DO UPDATE SET last = c.last + 1
        RETURNING last INTO drawn;
        UPDATE invoice SET number = drawn
        WHERE store_id = completed.store_id AND invoice_id = completed.invoice_id;
    END LOOP;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER invoice_completed AFTER UPDATE OF completed_at ON invoice
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.completed_at IS NOT NULL AND NEW.number IS NULL)
    EXECUTE FUNCTION number_completed_invoices();
