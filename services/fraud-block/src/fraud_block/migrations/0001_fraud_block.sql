-- A rule is in force until it expires by business time or is deleted; it is kept after that, as proof of what it did.
CREATE TABLE rule (
    store_id text NOT NULL,
    id text NOT NULL,
    type text NOT NULL,
    value text NOT NULL,
    effect text NOT NULL CHECK (effect IN ('block', 'allow')),
    reason text NOT NULL,
    note text,
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    deleted_at timestamptz,
    deleted_by text,
    hits bigint NOT NULL DEFAULT 0,
    last_hit_at timestamptz,
    PRIMARY KEY (store_id, id)
);
-- One rule in force per value and effect, and what a screening looks its identifiers up in.
CREATE UNIQUE INDEX rule_in_force ON rule (store_id, type, value, effect) WHERE deleted_at IS NULL;
CREATE INDEX rule_list ON rule (store_id, id) WHERE deleted_at IS NULL;

-- The one answer to each request; every repeat gets it again.
CREATE TABLE screening (
    store_id text NOT NULL,
    id text NOT NULL,
    subject text NOT NULL,
    decision text NOT NULL CHECK (decision IN ('allow', 'block', 'review')),
    rule_ids text[] NOT NULL,
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (store_id, id)
);

SELECT tenant_table('rule', api => 'SELECT, INSERT, UPDATE', worker => 'SELECT, UPDATE');
SELECT tenant_table('screening', api => 'SELECT', worker => 'SELECT, INSERT');
