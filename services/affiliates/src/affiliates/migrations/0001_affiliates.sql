-- Who refers customers, what they are owed for it, and what they ask to have of it (design §5 affiliates).

-- The terms of a store's program, dated: an order earns by those in force when it was completed, however late it is
-- heard of. A store without a row has the defaults of affiliates.program.
CREATE TABLE program (
    store_id text NOT NULL,
    since timestamptz NOT NULL,
    enabled boolean NOT NULL,
    rate_bps int NOT NULL CHECK (rate_bps BETWEEN 0 AND 10000),
    waiting_days int NOT NULL CHECK (waiting_days BETWEEN 0 AND 365),
    PRIMARY KEY (store_id, since)
);
SELECT tenant_table('program');

-- The root: whoever writes anything of an affiliate locks this row first. The sums are those of the journal;
-- settled is what they may have (available) or, below zero, what they owe back (debt).
CREATE TABLE affiliate (
    store_id text NOT NULL,
    affiliate_id text NOT NULL,
    customer_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'active', 'suspended')),
    enrolled_at timestamptz NOT NULL,
    pending_minor bigint NOT NULL DEFAULT 0 CHECK (pending_minor >= 0),
    settled_minor bigint NOT NULL DEFAULT 0,
    requested_minor bigint NOT NULL DEFAULT 0 CHECK (requested_minor >= 0),
    converted_minor bigint NOT NULL DEFAULT 0 CHECK (converted_minor >= 0),
    paid_minor bigint NOT NULL DEFAULT 0 CHECK (paid_minor >= 0),
    PRIMARY KEY (store_id, affiliate_id),
    UNIQUE (store_id, customer_id)
) WITH (fillfactor = 70); -- the sums change often, and no index with them
SELECT tenant_table('affiliate');

CREATE TABLE link (
    store_id text NOT NULL,
    code text NOT NULL CHECK (code ~ '^[a-z0-9-]{3,32}$'),
    affiliate_id text NOT NULL,
    added_at timestamptz NOT NULL,
    total_sales bigint NOT NULL DEFAULT 0,
    total_revenue_minor bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (store_id, code),
    FOREIGN KEY (store_id, affiliate_id) REFERENCES affiliate
) WITH (fillfactor = 70);
CREATE INDEX link_affiliate ON link (store_id, affiliate_id, added_at);
SELECT tenant_table('link');

-- Clicks per link and day. Apart from link, so that counting them waits for nobody who moves money.
CREATE TABLE click_day (
    store_id text NOT NULL,
    code text NOT NULL,
    day date NOT NULL,
    clicks bigint NOT NULL CHECK (clicks > 0),
    PRIMARY KEY (store_id, code, day),
    FOREIGN KEY (store_id, code) REFERENCES link
) WITH (fillfactor = 70);
SELECT tenant_table('click_day');

-- Which batches of clicks have been counted; a batch counts once.
CREATE TABLE click_batch (
    store_id text NOT NULL,
    batch_id text NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (store_id, batch_id)
);
CREATE INDEX click_batch_received_at ON click_batch USING brin (received_at);
SELECT tenant_table('click_batch', api => 'SELECT, INSERT', worker => 'SELECT, DELETE');

-- What was decided about every order that came with a code, also where nothing is owed: a replay must not decide anew
-- under other terms, nor for somebody who took the code later. The order id is the natural key.
CREATE TABLE commission (
    store_id text NOT NULL,
    order_id text NOT NULL,
    commission_id text NOT NULL,
    affiliate_id text,
    code text NOT NULL,
    order_version int NOT NULL CHECK (order_version > 0),
    order_currency text NOT NULL,
    base_minor bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('declined', 'held', 'pending', 'payable')),
    reason text,
    rate_bps int NOT NULL,
    amount_minor bigint,
    revenue_minor bigint,
    currency text NOT NULL,
    earned_at timestamptz NOT NULL,
    payable_at timestamptz NOT NULL,
    PRIMARY KEY (store_id, order_id),
    UNIQUE (store_id, commission_id),
    FOREIGN KEY (store_id, affiliate_id) REFERENCES affiliate,
    CONSTRAINT owed_is_known CHECK (
        (state IN ('pending', 'payable')) = (amount_minor IS NOT NULL AND amount_minor >= 0 AND affiliate_id IS NOT NULL)
    ),
    CONSTRAINT nothing_without_reason CHECK ((state IN ('declined', 'held')) = (reason IS NOT NULL))
);
CREATE INDEX commission_latest ON commission (store_id, affiliate_id, commission_id) WHERE state <> 'declined';
CREATE INDEX commission_due ON commission (payable_at) WHERE state = 'pending';
SELECT tenant_table('commission', api => 'SELECT');

-- What an affiliate asked to have. The figures of its reply are kept here, as they were.
CREATE TABLE claim (
    store_id text NOT NULL,
    claim_id text NOT NULL,
    affiliate_id text NOT NULL,
    customer_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('conversion')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0 AND amount_minor < 1000000000000000),
    currency text NOT NULL,
    status text NOT NULL CHECK (status IN ('PROCESSING', 'COMPLETED', 'FAILED')),
    reason text,
    wallet_transaction_id text,
    balance_after_minor bigint,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (store_id, claim_id),
    UNIQUE (store_id, wallet_transaction_id),
    FOREIGN KEY (store_id, affiliate_id) REFERENCES affiliate,
    CONSTRAINT completed_has_its_entry CHECK (
        (status = 'COMPLETED') = (wallet_transaction_id IS NOT NULL AND balance_after_minor IS NOT NULL)
    ),
    CONSTRAINT failed_has_its_reason CHECK ((status = 'FAILED') = (reason IS NOT NULL)),
    CONSTRAINT ended_has_its_time CHECK ((status = 'PROCESSING') = (ended_at IS NULL))
);
CREATE INDEX claim_latest ON claim (store_id, affiliate_id, claim_id);
CREATE INDEX claim_processing ON claim (store_id, claim_id) WHERE status = 'PROCESSING';
SELECT tenant_table('claim', api => 'SELECT, INSERT', worker => 'SELECT, UPDATE');

-- Every movement of an affiliate's money, from one bucket to another; 'program' is the merchant's side.
CREATE TABLE journal (
    store_id text NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    affiliate_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('earned', 'reversed', 'matured', 'reserved', 'converted', 'returned')),
    source text NOT NULL CHECK (source IN ('program', 'pending', 'settled', 'requested', 'converted', 'paid')),
    target text NOT NULL CHECK (target IN ('program', 'pending', 'settled', 'requested', 'converted', 'paid')),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0 AND amount_minor < 1000000000000000),
    commission_id text,
    order_version int,
    claim_id text,
    at timestamptz NOT NULL,
    PRIMARY KEY (store_id, affiliate_id, seq),
    FOREIGN KEY (store_id, affiliate_id) REFERENCES affiliate,
    CONSTRAINT moves CHECK (source <> target),
    CONSTRAINT one_cause CHECK (num_nonnulls(commission_id, claim_id) = 1)
);
-- The second lock: one version of an order moves money once, a commission matures once, and a claim takes once and
-- ends once.
CREATE UNIQUE INDEX journal_order_version ON journal (store_id, commission_id, order_version)
    WHERE order_version IS NOT NULL;
CREATE UNIQUE INDEX journal_matured ON journal (store_id, commission_id) WHERE kind = 'matured';
CREATE UNIQUE INDEX journal_reserved ON journal (store_id, claim_id) WHERE kind = 'reserved';
CREATE UNIQUE INDEX journal_ended ON journal (store_id, claim_id) WHERE kind IN ('converted', 'returned');
SELECT tenant_table('journal', api => 'SELECT, INSERT', worker => 'SELECT, INSERT');

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only: % of % refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE journal ENABLE ALWAYS TRIGGER append_only;
