-- Credit given to many at once, and gift codes (design §5 wallet).

-- The figures of its progress are kept with each slice; refused: {reason: how many}. Whoever was worked on longest ago
-- is next.
CREATE TABLE promotion (
    store_id text NOT NULL,
    promotion_id text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    reason text,
    note text,
    expires_at timestamptz,
    notify boolean NOT NULL,
    status text NOT NULL CHECK (status IN ('RUNNING', 'FINISHED', 'CANCELLED')),
    total int NOT NULL CHECK (total > 0),
    granted int NOT NULL DEFAULT 0,
    clipped int NOT NULL DEFAULT 0,
    refused jsonb NOT NULL DEFAULT '{}',
    granted_minor bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    worked_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (store_id, promotion_id),
    CONSTRAINT over_has_its_time CHECK ((status = 'RUNNING') = (finished_at IS NULL)),
    CONSTRAINT nobody_is_granted_twice CHECK (0 <= clipped AND clipped <= granted AND granted <= total)
);
CREATE INDEX promotion_running ON promotion (worked_at) WHERE status = 'RUNNING';
SELECT tenant_table('promotion', api => 'SELECT, INSERT, UPDATE', worker => 'SELECT, UPDATE');

CREATE TABLE promotion_recipient (
    store_id text NOT NULL,
    promotion_id text NOT NULL,
    customer_id text NOT NULL,
    status text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'GRANTED', 'REFUSED')),
    reason text,
    entry_id text,
    PRIMARY KEY (store_id, promotion_id, customer_id),
    CONSTRAINT granted_has_its_entry CHECK ((status = 'GRANTED') = (entry_id IS NOT NULL)),
    CONSTRAINT refused_has_its_reason CHECK ((status = 'REFUSED') = (reason IS NOT NULL))
);
CREATE INDEX promotion_recipient_status ON promotion_recipient (store_id, promotion_id, status, customer_id);
SELECT tenant_table('promotion_recipient', api => 'SELECT, INSERT', worker => 'SELECT, UPDATE');

-- What all codes of a batch are worth and until when. credit_expiry_days: from the day they are redeemed; NULL: never.
CREATE TABLE gift_batch (
    store_id text NOT NULL,
    batch_id text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    redeem_until timestamptz,
    credit_expiry_days int CHECK (credit_expiry_days > 0),
    reason text,
    note text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (store_id, batch_id)
);
SELECT tenant_table('gift_batch', api => 'SELECT, INSERT', worker => 'SELECT');

-- A code itself is nowhere: only its SHA-256, and its last characters to tell it by.
CREATE TABLE gift_code (
    store_id text NOT NULL,
    gift_id text NOT NULL,
    batch_id text NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    last4 text NOT NULL,
    status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'REDEEMED', 'VOID')),
    redeemed_by text,
    redeemed_at timestamptz,
    entry_id text,
    PRIMARY KEY (store_id, gift_id),
    FOREIGN KEY (store_id, batch_id) REFERENCES gift_batch,
    CONSTRAINT redeemed_has_its_entry CHECK (
        (status = 'REDEEMED') = (entry_id IS NOT NULL)
        AND (redeemed_by IS NULL) = (entry_id IS NULL) AND (redeemed_at IS NULL) = (entry_id IS NULL)
    )
);
CREATE UNIQUE INDEX gift_code_hash ON gift_code (store_id, hash);
CREATE INDEX gift_code_of_batch ON gift_code (store_id, batch_id, gift_id);
SELECT tenant_table('gift_code', api => 'SELECT, INSERT, UPDATE', worker => 'SELECT');

-- When a customer last tried codes that were none, in real time. A row is also what their attempts wait for.
CREATE TABLE gift_attempt (
    store_id text NOT NULL,
    customer_id text NOT NULL,
    failed_at timestamptz[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (store_id, customer_id)
);
SELECT tenant_table('gift_attempt', api => 'SELECT, INSERT, UPDATE', worker => 'SELECT, UPDATE, DELETE');
