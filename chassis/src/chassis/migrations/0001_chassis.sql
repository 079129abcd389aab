-- What every service's database has. Run as the owner, with chassis.service set by the migrator.

CREATE TABLE epoch (
    id uuid PRIMARY KEY,
    began_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO epoch (id) VALUES (uuidv7());

CREATE TABLE outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    type text NOT NULL,
    store_id text NOT NULL,
    payload bytea NOT NULL,
    traceparent text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- Rows the broker will never take (too large, say): set aside so that they block nobody.
CREATE TABLE outbox_unsendable (
    LIKE outbox,
    error text NOT NULL,
    set_aside_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (seq)
);

CREATE TABLE inbox (
    event_id uuid PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX inbox_received_at ON inbox USING brin (received_at);

CREATE TABLE parked (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer_group text NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    event_id uuid NOT NULL UNIQUE,
    type text NOT NULL,
    store_id text NOT NULL,
    payload bytea NOT NULL,
    traceparent text,
    reason text NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    failures int NOT NULL DEFAULT 0,
    retry_at timestamptz NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX parked_key ON parked (consumer_group, topic, key, seq);
CREATE INDEX parked_retry_at ON parked (retry_at);

CREATE TABLE dead_letter (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition int,
    "offset" bigint,
    key text,
    headers jsonb NOT NULL,
    payload bytea,
    error_class text NOT NULL,
    error text NOT NULL,
    died_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (consumer_group, topic, partition, "offset")
);

-- Partitions of stores and customers that this epoch has read from their beginning.
CREATE TABLE rewound (
    topic text NOT NULL,
    partition int NOT NULL,
    PRIMARY KEY (topic, partition)
);

CREATE TABLE idempotency (
    store_id text NOT NULL,
    principal text NOT NULL,
    key text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    fingerprint bytea NOT NULL,
    request_id text,
    status int,
    body bytea,
    media_type text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (store_id, principal, key, method, path)
);
CREATE INDEX idempotency_created_at ON idempotency (created_at);

-- Which requests have their answer; ids are unguessable, so no store and no policy.
CREATE TABLE answer (
    request_id text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX answer_at ON answer USING brin (at);

-- Requests sent to another service and not yet answered: sent again until they are.
CREATE TABLE ask (
    request_id text NOT NULL,
    type text NOT NULL,
    store_id text NOT NULL,
    payload bytea NOT NULL,
    traceparent text,
    attempts int NOT NULL DEFAULT 1,
    ask_again_at timestamptz NOT NULL,
    PRIMARY KEY (request_id, type)
);
CREATE INDEX ask_again_at ON ask (ask_again_at);

CREATE TABLE known_customer (
    store_id text NOT NULL,
    id text NOT NULL,
    version int NOT NULL,
    state text NOT NULL,
    merged_into text,
    PRIMARY KEY (store_id, id)
);

CREATE TABLE store (
    store_id text PRIMARY KEY,
    slug text NOT NULL,
    currency text NOT NULL,
    locale text NOT NULL,
    url text NOT NULL
);

CREATE FUNCTION tenant_table(
    name regclass,
    api text DEFAULT 'SELECT, INSERT, UPDATE, DELETE',
    worker text DEFAULT 'SELECT, INSERT, UPDATE, DELETE'
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    api_role text := current_setting('chassis.service') || '_api';
    worker_role text := current_setting('chassis.service') || '_worker';
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
        'CREATE POLICY one_store ON %s TO %I USING (store_id = current_setting(''app.store_id'', true))',
        name, api_role);
    EXECUTE format('CREATE POLICY every_store ON %s TO %I USING (true)', name, worker_role);
    EXECUTE format('GRANT %s ON %s TO %I', api, name, api_role);
    EXECUTE format('GRANT %s ON %s TO %I', worker, name, worker_role);
END $$;

SELECT tenant_table('idempotency');
SELECT tenant_table('ask', api => 'INSERT');
SELECT tenant_table('known_customer', api => 'SELECT');
SELECT tenant_table('store', api => 'SELECT');

DO $$
DECLARE
    api_role text := current_setting('chassis.service') || '_api';
    worker_role text := current_setting('chassis.service') || '_worker';
BEGIN
    EXECUTE format('GRANT SELECT ON epoch, answer, migration TO %I', api_role);
    EXECUTE format('GRANT INSERT ON outbox TO %I', api_role);
    EXECUTE format('GRANT SELECT ON epoch, migration TO %I', worker_role);
    EXECUTE format(
        'GRANT SELECT, INSERT, UPDATE, DELETE
         ON outbox, outbox_unsendable, inbox, parked, dead_letter, rewound, answer TO %I', worker_role);
END $$;
