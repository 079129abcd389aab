-- Grants, debt, the hash chain and a store's settings (design §5 wallet).

CREATE TABLE terms (
    store_id text PRIMARY KEY,
    version int NOT NULL CHECK (version > 0),
    refunds_as_credit boolean NOT NULL,
    default_expiry_days int CHECK (default_expiry_days > 0),
    balance_cap_minor bigint CHECK (balance_cap_minor > 0),
    promo_over_cap text NOT NULL CHECK (promo_over_cap IN ('clip', 'refuse')),
    reminder_days int CHECK (reminder_days > 0),
    changed_at timestamptz NOT NULL
);
SELECT tenant_table('terms', api => 'SELECT, INSERT, UPDATE', worker => 'SELECT');

ALTER TABLE account
    ADD COLUMN debt_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN hash bytea NOT NULL DEFAULT '',
    ADD COLUMN due_at timestamptz, -- nothing of it expires before
    ADD COLUMN posted_at timestamptz, -- its last entry was; the next is not before
    ADD CONSTRAINT debt_is_writable CHECK (debt_minor BETWEEN 0 AND 999999999999999),
    ADD CONSTRAINT debt_is_netted CHECK (debt_minor = 0 OR balance_minor = held_minor);
CREATE INDEX account_due ON account (due_at) WHERE due_at IS NOT NULL;

-- What a credit has left, named by its entry's sequence. expires_at NULL: never. An update that leaves it open moves no
-- index entry.
CREATE TABLE credit_grant (
    store_id text NOT NULL,
    customer_id text NOT NULL,
    sequence bigint NOT NULL,
    entry_id text NOT NULL,
    type text NOT NULL,
    amount_minor bigint NOT NULL,
    left_minor bigint NOT NULL,
    held_minor bigint NOT NULL DEFAULT 0,
    expired_minor bigint NOT NULL DEFAULT 0, -- nobody has it any more, so nobody can be asked to give it back
    expires_at timestamptz,
    granted_at timestamptz NOT NULL,
    open boolean NOT NULL,
    reminded boolean NOT NULL DEFAULT false,
    PRIMARY KEY (store_id, customer_id, sequence),
    CONSTRAINT grant_is_covered CHECK (
        0 <= held_minor AND held_minor <= left_minor AND 0 <= expired_minor AND left_minor + expired_minor <= amount_minor
    ),
    CONSTRAINT open_has_something_left CHECK (open = (left_minor > 0))
) WITH (fillfactor = 80);
CREATE INDEX credit_grant_open ON credit_grant (store_id, customer_id, expires_at, sequence) WHERE open;
CREATE INDEX credit_grant_to_remind ON credit_grant (store_id, expires_at)
    WHERE open AND NOT reminded AND expires_at IS NOT NULL;
SELECT tenant_table('credit_grant', api => 'SELECT, INSERT, UPDATE', worker => 'SELECT, INSERT, UPDATE');

-- The owner obeys the policies too, and none is hers: without this she would see no row of what there is.
ALTER TABLE account NO FORCE ROW LEVEL SECURITY;
ALTER TABLE credit_grant NO FORCE ROW LEVEL SECURITY;
ALTER TABLE hold NO FORCE ROW LEVEL SECURITY;
ALTER TABLE entry NO FORCE ROW LEVEL SECURITY;

ALTER TABLE hold
    ADD COLUMN parts jsonb NOT NULL DEFAULT '[]', -- [[sequence of a grant, amount of it], …]
    ADD COLUMN expires_at timestamptz;
UPDATE hold SET expires_at = asked_at + interval '7 days';
ALTER TABLE hold ALTER COLUMN expires_at SET NOT NULL;
CREATE INDEX hold_lapsing ON hold (expires_at) WHERE status = 'placed';

ALTER TABLE entry DISABLE TRIGGER append_only;
ALTER TABLE entry
    ADD COLUMN debt_after_minor bigint NOT NULL DEFAULT 0 CHECK (debt_after_minor >= 0),
    ADD COLUMN parts jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN hash bytea;

-- What came before had no grants: the oldest credit was spent first, and nothing expired.
DO $$
DECLARE
    its record;
    spent record;
    still bigint;
    taken bigint;
    link bytea := '';
    owner text := '';
    chosen jsonb;
BEGIN
    FOR its IN
        SELECT entry.*, credit_account = 'customer' AS gives FROM entry ORDER BY store_id, customer_id, sequence
    LOOP
        IF owner <> its.store_id || its.customer_id THEN
            owner := its.store_id || its.customer_id;
            link := '';
        END IF;
        link := sha256((
            SELECT string_agg(int4send(octet_length(part)) || part, '' ORDER BY position)
            FROM unnest(
                array_prepend(link, ARRAY(
                    SELECT convert_to(field, 'UTF8')
                    FROM unnest(ARRAY[
                        its.entry_id, its.store_id, its.customer_id, its.sequence::text, its.type, its.debit_account,
                        its.credit_account, its.amount_minor::text, its.currency,
                        (extract(epoch FROM its.posted_at) * 1000000)::bigint::text, its.cause_kind, its.cause_id
                    ]) WITH ORDINALITY AS f (field, place) ORDER BY place
                ))
            ) WITH ORDINALITY AS p (part, position)
        ));
        chosen := '[]';
        IF its.gives THEN
            INSERT INTO credit_grant (store_id, customer_id, sequence, entry_id, type, amount_minor, left_minor,
                                      granted_at, open)
            VALUES (its.store_id, its.customer_id, its.sequence, its.entry_id, its.type, its.amount_minor,
                    its.amount_minor, its.posted_at, true);
        ELSE
            still := its.amount_minor;
            FOR spent IN
                SELECT sequence, left_minor FROM credit_grant
                WHERE store_id = its.store_id AND customer_id = its.customer_id AND open ORDER BY sequence
            LOOP
                EXIT WHEN still = 0;
                taken := least(still, spent.left_minor);
                UPDATE credit_grant SET left_minor = left_minor - taken, open = left_minor > taken
                WHERE store_id = its.store_id AND customer_id = its.customer_id AND sequence = spent.sequence;
                chosen := chosen || jsonb_build_array(jsonb_build_array(spent.sequence, taken));
                still := still - taken;
            END LOOP;
        END IF;
        UPDATE entry SET hash = link, parts = chosen WHERE store_id = its.store_id AND entry_id = its.entry_id;
        UPDATE account SET hash = link, posted_at = its.posted_at
        WHERE store_id = its.store_id AND customer_id = its.customer_id;
    END LOOP;
    FOR its IN SELECT * FROM hold WHERE status = 'placed' ORDER BY store_id, customer_id, asked_at, hold_id LOOP
        still := its.amount_minor;
        chosen := '[]';
        FOR spent IN
            SELECT sequence, left_minor - held_minor AS free_minor FROM credit_grant
            WHERE store_id = its.store_id AND customer_id = its.customer_id AND left_minor > held_minor
            ORDER BY sequence
        LOOP
            EXIT WHEN still = 0;
            taken := least(still, spent.free_minor);
            UPDATE credit_grant SET held_minor = held_minor + taken
            WHERE store_id = its.store_id AND customer_id = its.customer_id AND sequence = spent.sequence;
            chosen := chosen || jsonb_build_array(jsonb_build_array(spent.sequence, taken));
            still := still - taken;
        END LOOP;
        UPDATE hold SET parts = chosen WHERE store_id = its.store_id AND hold_id = its.hold_id;
    END LOOP;
END $$;

ALTER TABLE entry ALTER COLUMN hash SET NOT NULL;
ALTER TABLE entry ENABLE ALWAYS TRIGGER append_only;

ALTER TABLE account FORCE ROW LEVEL SECURITY;
ALTER TABLE credit_grant FORCE ROW LEVEL SECURITY;
ALTER TABLE hold FORCE ROW LEVEL SECURITY;
ALTER TABLE entry FORCE ROW LEVEL SECURITY;

-- The second lock: a claim is credited once, an order paid once, an entry reversed once, a code redeemed once, and a
-- credit pays debt once.
DROP INDEX entry_cause;
CREATE UNIQUE INDEX entry_cause ON entry (store_id, cause_kind, cause_id)
    WHERE cause_kind IN ('claim', 'order', 'reversal', 'gift_code', 'debt');
-- A promotion gives a customer something once.
CREATE UNIQUE INDEX entry_promotion ON entry (store_id, cause_id, customer_id) WHERE cause_kind = 'promotion';
-- Rows lie in the order in which they were posted, so a period is a few ranges of pages.
CREATE INDEX entry_posted ON entry USING brin (posted_at) WITH (pages_per_range = 32, autosummarize = on);

-- How far the books were proven, customer by customer (`python -m wallet verify`). grants: [[sequence, [left, expired]], …]
CREATE TABLE checkpoint (
    store_id text NOT NULL,
    customer_id text NOT NULL,
    sequence bigint NOT NULL,
    balance_minor bigint NOT NULL,
    debt_minor bigint NOT NULL,
    hash bytea NOT NULL,
    grants jsonb NOT NULL,
    PRIMARY KEY (store_id, customer_id)
);
SELECT tenant_table('checkpoint', api => 'SELECT', worker => 'SELECT, INSERT, UPDATE');

-- Merged customers are few.
CREATE INDEX known_customer_merged ON known_customer (store_id, id) WHERE merged_into IS NOT NULL;
