-- The stores of the platform and the keys that open them. Slugs, hosts and key ids are unique across all stores:
-- they are what a store is found by before anybody knows which one it is.

CREATE TABLE merchant_store (
    store_id text PRIMARY KEY,
    slug text NOT NULL CONSTRAINT merchant_store_slug UNIQUE,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    locale text NOT NULL,
    url text NOT NULL,
    host text CONSTRAINT merchant_store_host UNIQUE,
    created_at timestamptz NOT NULL
);
SELECT tenant_table('merchant_store', api => 'SELECT', worker => 'SELECT, INSERT, UPDATE');

-- digest is HMAC-SHA256(pepper, secret); the pepper is in no database.
CREATE TABLE api_key (
    store_id text NOT NULL REFERENCES merchant_store,
    key_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('secret', 'publishable')),
    digest bytea NOT NULL CHECK (length(digest) = 32),
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    PRIMARY KEY (store_id, key_id)
);
CREATE INDEX api_key_by_id ON api_key (key_id);
SELECT tenant_table('api_key', api => 'SELECT', worker => 'SELECT, INSERT, UPDATE');

-- Who calls, and where a visitor goes, is asked before a store is known, so past the policy of the api role: through
-- these functions only, which run as the owner, who cannot log in.
DO $$
DECLARE
    worker_role text := current_setting('chassis.service') || '_worker';
BEGIN
    EXECUTE format('ALTER POLICY every_store ON merchant_store TO %I, CURRENT_ROLE', worker_role);
    EXECUTE format('ALTER POLICY every_store ON api_key TO %I, CURRENT_ROLE', worker_role);
END $$;

CREATE FUNCTION key_of(wanted text)
RETURNS TABLE (store_id text, kind text, digest bytea, scopes text[], expires_at timestamptz, revoked_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT store_id, kind, digest, scopes, expires_at, revoked_at FROM api_key WHERE key_id = wanted
$$;

CREATE FUNCTION every_store()
RETURNS TABLE (store_id text, slug text, currency text, locale text, url text, host text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT store_id, slug, currency, locale, url, host FROM merchant_store
$$;

CREATE FUNCTION note_key_uses(used text[], at timestamptz[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE api_key SET last_used_at = greatest(last_used_at, uses.at)
    FROM unnest(used, at) AS uses (key_id, at)
    WHERE api_key.key_id = uses.key_id
$$;

REVOKE ALL ON FUNCTION key_of, every_store, note_key_uses FROM PUBLIC;
DO $$
BEGIN
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION key_of, every_store, note_key_uses TO %I',
        current_setting('chassis.service') || '_api');
END $$;
