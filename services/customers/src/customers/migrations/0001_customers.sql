CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

CREATE TABLE customer (
    store_id text NOT NULL,
    id text NOT NULL,
    version int NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'inactive', 'merged', 'erased')),
    email text,
    email_canonical text,
    name text,
    phone text,
    country text,
    search text NOT NULL,
    registered_at timestamptz,
    first_completed_order_at timestamptz,
    stage text NOT NULL GENERATED ALWAYS AS (
        CASE WHEN first_completed_order_at IS NOT NULL THEN 'customer'
             WHEN registered_at IS NOT NULL THEN 'registered'
             WHEN email IS NOT NULL THEN 'lead'
             ELSE 'guest' END) STORED,
    -- Folded from customer_order: completed orders; settled are those in the store's own currency, and the money is theirs.
    orders int NOT NULL DEFAULT 0,
    settled_orders int NOT NULL DEFAULT 0,
    gross_minor bigint NOT NULL DEFAULT 0,
    refunded_minor bigint NOT NULL DEFAULT 0,
    net_minor bigint NOT NULL GENERATED ALWAYS AS (gross_minor - refunded_minor) STORED,
    last_order_id text,
    last_order_number text,
    last_order_at timestamptz,
    -- The wallet's word: the entry with the highest (epoch, sequence).
    balance_minor bigint NOT NULL DEFAULT 0,
    balance_epoch uuid,
    balance_sequence bigint,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (store_id, id),
    UNIQUE (store_id, email_canonical),
    CHECK ((email IS NULL) = (email_canonical IS NULL))
);
CREATE INDEX customer_stage ON customer (store_id, stage, id);
CREATE INDEX customer_search ON customer USING gin (store_id, search gin_trgm_ops);

-- The highest version seen of each order. An id is a UUIDv7: the lists run along the primary key.
CREATE TABLE customer_order (
    store_id text NOT NULL,
    order_id text NOT NULL,
    customer_id text NOT NULL,
    number text NOT NULL,
    version int NOT NULL,
    status text NOT NULL,
    currency text NOT NULL,
    gross_minor bigint NOT NULL,
    refunded_minor bigint NOT NULL,
    gateway text,
    placed_at timestamptz NOT NULL,
    first_completed_at timestamptz,
    PRIMARY KEY (store_id, order_id)
);
CREATE INDEX customer_order_customer ON customer_order (store_id, customer_id, first_completed_at);

SELECT tenant_table('customer', api => 'SELECT, INSERT', worker => 'SELECT, INSERT, UPDATE');
SELECT tenant_table('customer_order', api => 'SELECT', worker => 'SELECT, INSERT, UPDATE');

-- LIKE is not leakproof: under a store's policy it never reaches the trigram index. So the search runs as the owner,
-- whose login nobody has and who is let see every row like a worker, and it takes the store from the setting itself.
CREATE FUNCTION search_customers(pattern text, wanted_stage text, before text, at_most int)
RETURNS SETOF customer LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN QUERY
    SELECT * FROM customer
    WHERE store_id = current_setting('app.store_id', true)
      AND search LIKE pattern
      AND (wanted_stage IS NULL OR stage = wanted_stage)
      AND (before IS NULL OR id < before)
    ORDER BY id DESC
    LIMIT at_most;
END $$;
REVOKE EXECUTE ON FUNCTION search_customers FROM PUBLIC;

DO $$
DECLARE
    service text := current_setting('chassis.service');
BEGIN
    EXECUTE format('ALTER POLICY every_store ON customer TO %I, %I', service || '_worker', current_user);
    EXECUTE format('GRANT EXECUTE ON FUNCTION search_customers TO %I', service || '_api');
END $$;
