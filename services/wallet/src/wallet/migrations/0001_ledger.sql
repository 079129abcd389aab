-- The store-credit ledger (design §5 wallet): one row per entry, and per customer where it has come to.

CREATE TABLE account (
    store_id text NOT NULL,
    customer_id text NOT NULL,
    currency text NOT NULL,
    balance_minor bigint NOT NULL DEFAULT 0,
    held_minor bigint NOT NULL DEFAULT 0,
    sequence bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (store_id, customer_id),
    CONSTRAINT held_is_covered CHECK (held_minor >= 0 AND balance_minor >= held_minor),
    CONSTRAINT balance_is_writable CHECK (balance_minor < 1000000000000000)
) WITH (fillfactor = 70); -- room for updates on the same page: no index entry changes with a balance
SELECT tenant_table('account', api => 'SELECT, INSERT, UPDATE', worker => 'SELECT, INSERT, UPDATE');

-- amount_minor leaves debit_account for credit_account; the customer's own is called 'customer'.
CREATE TABLE entry (
    store_id text NOT NULL,
    entry_id text NOT NULL,
    customer_id text NOT NULL,
    sequence bigint NOT NULL CHECK (sequence > 0),
    type text NOT NULL
        CHECK (type IN ('CREDIT', 'DEBIT', 'REFUND', 'PROMO', 'ADJUSTMENT', 'PAYMENT', 'EXPIRED')),
    debit_account text NOT NULL,
    credit_account text NOT NULL CHECK (credit_account <> debit_account),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0 AND amount_minor < 1000000000000000),
    balance_after_minor bigint NOT NULL CHECK (balance_after_minor >= 0),
    currency text NOT NULL,
    cause_kind text NOT NULL,
    cause_id text NOT NULL,
    reason text,
    posted_at timestamptz NOT NULL,
    PRIMARY KEY (store_id, entry_id),
    UNIQUE (store_id, customer_id, sequence)
);
-- The second lock behind the inbox: a claim is credited once, an order paid once. An adjustment is its own cause.
CREATE UNIQUE INDEX entry_cause ON entry (store_id, cause_kind, cause_id) WHERE cause_kind <> 'adjustment';
SELECT tenant_table('entry', api => 'SELECT, INSERT', worker => 'SELECT, INSERT');

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % of % refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- Also where triggers are off for replicas.
ALTER TABLE entry ENABLE ALWAYS TRIGGER append_only;

-- Free text about an entry, apart from it so that it can be erased.
CREATE TABLE entry_note (
    store_id text NOT NULL,
    entry_id text NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (store_id, entry_id),
    FOREIGN KEY (store_id, entry_id) REFERENCES entry
);
SELECT tenant_table('entry_note', api => 'SELECT, INSERT', worker => 'SELECT, INSERT, DELETE');

-- What was refused once is refused for ever: the asker has acted on it.
CREATE TABLE refusal (
    store_id text NOT NULL,
    cause_kind text NOT NULL,
    cause_id text NOT NULL,
    customer_id text NOT NULL,
    reason text NOT NULL,
    refused_at timestamptz NOT NULL,
    PRIMARY KEY (store_id, cause_kind, cause_id)
);
SELECT tenant_table('refusal', api => 'SELECT, INSERT', worker => 'SELECT, INSERT');

-- A hold and its answer, kept when it has ended. One that ended before it was asked for has no amount.
CREATE TABLE hold (
    store_id text NOT NULL,
    hold_id text NOT NULL,
    customer_id text NOT NULL,
    order_id text,
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    status text NOT NULL CHECK (status IN ('placed', 'refused', 'captured', 'released')),
    captured_minor bigint NOT NULL DEFAULT 0 CHECK (captured_minor BETWEEN 0 AND amount_minor),
    entry_id text,
    reason text,
    asked_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (store_id, hold_id),
    FOREIGN KEY (store_id, customer_id) REFERENCES account,
    CONSTRAINT captured_has_its_entry CHECK ((status = 'captured') = (entry_id IS NOT NULL)),
    CONSTRAINT ended_has_its_time CHECK ((status = 'placed') = (ended_at IS NULL))
);
CREATE INDEX hold_placed ON hold (store_id, customer_id) WHERE status = 'placed';
SELECT tenant_table('hold', api => 'SELECT, INSERT, UPDATE', worker => 'SELECT, INSERT, UPDATE');
