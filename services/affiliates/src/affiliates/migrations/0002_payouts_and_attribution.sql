-- The whole program (issue 6): terms, rates, links with states, unique clicks, attribution, holds of commissions,
-- payouts, and who did what.

ALTER TABLE program
    ADD COLUMN discount_enabled boolean NOT NULL DEFAULT false,
    ADD COLUMN discount_bps int NOT NULL DEFAULT 0 CHECK (discount_bps BETWEEN 0 AND 10000),
    ADD COLUMN custom_links_need_approval boolean NOT NULL DEFAULT false,
    ADD COLUMN self_enrolment text NOT NULL DEFAULT 'approval' CHECK (self_enrolment IN ('off', 'approval', 'open')),
    ADD COLUMN attribution_days int NOT NULL DEFAULT 30 CHECK (attribution_days BETWEEN 0 AND 365),
    ADD COLUMN tiers jsonb NOT NULL DEFAULT '[]', -- [[volume in minor units, bps], …], ascending
    ADD COLUMN minimum_payout_minor bigint NOT NULL DEFAULT 0 CHECK (minimum_payout_minor BETWEEN 0 AND 999999999999999),
    ADD COLUMN payout_methods jsonb, -- [[asset, network], …]; null: all that there are
    ADD COLUMN two_person_approval boolean NOT NULL DEFAULT false,
    ADD COLUMN cooling_days int NOT NULL DEFAULT 0 CHECK (cooling_days BETWEEN 0 AND 90),
    ADD COLUMN conversion_bonus_bps int NOT NULL DEFAULT 0 CHECK (conversion_bonus_bps BETWEEN 0 AND 10000);

-- Whom an affiliate became one with, when their customers were merged. The row stays, and so do its commissions and
-- claims: they are whose it was merged into, who is never merged themselves.
ALTER TABLE affiliate
    ADD COLUMN merged_into text,
    ADD FOREIGN KEY (store_id, merged_into) REFERENCES affiliate,
    ADD CONSTRAINT merged_is_over CHECK (merged_into IS NULL OR state = 'suspended');
CREATE INDEX affiliate_of_state ON affiliate (store_id, state, affiliate_id) WHERE merged_into IS NULL;
CREATE INDEX affiliate_merged ON affiliate (store_id, merged_into) WHERE merged_into IS NOT NULL;

-- By whom a customer is also known, and the merges heard that affiliates have not followed yet.
ALTER TABLE known_customer ADD COLUMN followed_into text;
CREATE INDEX known_customer_merged ON known_customer (store_id, merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX known_customer_unfollowed ON known_customer (merged_into)
    WHERE merged_into IS NOT NULL AND merged_into IS DISTINCT FROM followed_into;

-- Affiliates of whom there is something new to know who they are: a merge, or an address to be paid at. Written with
-- what is new; a timer follows merges and looks for own purchases, once for all that is new of somebody. spreads: those
-- who share an address and earn by them are looked at, too.
CREATE TABLE look_again (
    store_id text NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    affiliate_id text NOT NULL,
    spreads boolean NOT NULL DEFAULT true,
    tries int NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (store_id, affiliate_id, seq) -- no foreign key: whoever writes here waits for nobody who moves money
);
CREATE INDEX look_again_due ON look_again (due_at, seq);
SELECT tenant_table('look_again', api => 'INSERT', worker => 'SELECT, INSERT, UPDATE, DELETE');

-- Where affiliates have stood and since when: an order counts by the state of its moment, however late it is heard of.
-- seq: the clock may be put back, and what was written last decides from its moment on.
CREATE TABLE standing (
    store_id text NOT NULL,
    affiliate_id text NOT NULL,
    since timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'active', 'suspended')),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (store_id, affiliate_id, seq),
    FOREIGN KEY (store_id, affiliate_id) REFERENCES affiliate
);
-- Whoever migrates owns the tables and may be no superuser: without this row-level security hides every row.
ALTER TABLE affiliate NO FORCE ROW LEVEL SECURITY;
INSERT INTO standing (store_id, affiliate_id, since, state)
SELECT store_id, affiliate_id, enrolled_at, state FROM affiliate;
ALTER TABLE affiliate FORCE ROW LEVEL SECURITY;
SELECT tenant_table('standing', api => 'SELECT, INSERT', worker => 'SELECT, INSERT');

-- What is agreed with one affiliate, dated like the program's terms. Null: as the program has it.
CREATE TABLE own_terms (
    store_id text NOT NULL,
    affiliate_id text NOT NULL,
    since timestamptz NOT NULL,
    rate_bps int CHECK (rate_bps BETWEEN 0 AND 10000),
    waiting_days int CHECK (waiting_days BETWEEN 0 AND 365),
    PRIMARY KEY (store_id, affiliate_id, since),
    FOREIGN KEY (store_id, affiliate_id) REFERENCES affiliate
);
SELECT tenant_table('own_terms', worker => 'SELECT');

-- A removed code stays its affiliate's for ever; a rejected one is free again: its row goes over to rejected_link.
-- earlier_owners, each until when: whose it was before they became one with another.
ALTER TABLE link
    ADD COLUMN state text NOT NULL DEFAULT 'active' CHECK (state IN ('requested', 'active', 'removed')),
    ADD COLUMN custom boolean NOT NULL DEFAULT true,
    ADD COLUMN active_from timestamptz,
    ADD COLUMN removed_at timestamptz,
    ADD COLUMN earlier tstzmultirange NOT NULL DEFAULT '{}', -- when it was active, each time it is taken up again
    ADD COLUMN earlier_owners text[] NOT NULL DEFAULT '{}',
    ADD COLUMN owned_until timestamptz[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT each_owned_until CHECK (cardinality(earlier_owners) = cardinality(owned_until));
ALTER TABLE link NO FORCE ROW LEVEL SECURITY;
UPDATE link SET active_from = added_at;
ALTER TABLE link FORCE ROW LEVEL SECURITY;
ALTER TABLE link
    ADD CONSTRAINT active_since CHECK ((state = 'requested') = (active_from IS NULL)),
    ADD CONSTRAINT removed_when CHECK ((state = 'removed') = (removed_at IS NOT NULL));
CREATE INDEX link_of_state ON link (store_id, state, code);

-- Codes that affiliates asked for in vain, and why: for them to read, and for nothing else. No link, so nothing can
-- come of one; the last rejection of each is kept.
CREATE TABLE rejected_link (
    store_id text NOT NULL,
    affiliate_id text NOT NULL,
    code text NOT NULL,
    requested_at timestamptz NOT NULL,
    rejected_at timestamptz NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (store_id, affiliate_id, code),
    FOREIGN KEY (store_id, affiliate_id) REFERENCES affiliate
);
SELECT tenant_table('rejected_link', api => 'SELECT, INSERT, UPDATE', worker => 'SELECT, INSERT, DELETE');

ALTER TABLE click_day
    ADD COLUMN unique_clicks bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT unique_are_clicks CHECK (unique_clicks BETWEEN 0 AND clicks);

-- The clicks of all days. Apart from link, as the days are.
CREATE TABLE click_total (
    store_id text NOT NULL,
    code text NOT NULL,
    clicks bigint NOT NULL,
    unique_clicks bigint NOT NULL,
    PRIMARY KEY (store_id, code),
    FOREIGN KEY (store_id, code) REFERENCES link
) WITH (fillfactor = 70);
ALTER TABLE click_day NO FORCE ROW LEVEL SECURITY;
INSERT INTO click_total SELECT store_id, code, sum(clicks), 0 FROM click_day GROUP BY 1, 2;
ALTER TABLE click_day FORCE ROW LEVEL SECURITY;
SELECT tenant_table('click_total', api => 'SELECT, INSERT, UPDATE', worker => 'SELECT');

-- What is forgotten is found by a b-tree: pages are used again, and the ranges of a brin index are soon as wide as all.
DROP INDEX click_batch_received_at;
CREATE INDEX click_batch_received_at ON click_batch (received_at);

-- Who followed a link on a day: kept only as long as a batch may come again.
CREATE TABLE click_visitor (
    store_id text NOT NULL,
    code text NOT NULL,
    day date NOT NULL,
    visitor text NOT NULL,
    PRIMARY KEY (store_id, code, day, visitor)
);
CREATE INDEX click_visitor_day ON click_visitor (day);
SELECT tenant_table('click_visitor', api => 'SELECT, INSERT', worker => 'SELECT, DELETE');

-- customer_id bought; touches: every link that led there, and why it won or lost by this rule. turn counts the
-- changes, and every movement in the journal names the one it belongs to. cleared_at: staff had a look, so no verdict
-- holds it again. held_for: why it is held, and is held again where it owed nothing in between.
ALTER TABLE commission
    ADD COLUMN customer_id text,
    ADD COLUMN current_customer_id text,
    ADD COLUMN turn int NOT NULL DEFAULT 1 CHECK (turn > 0),
    ADD COLUMN rate_from text NOT NULL DEFAULT 'program' CHECK (rate_from IN ('program', 'tier', 'affiliate')),
    ADD COLUMN rule text NOT NULL DEFAULT 'code.v1',
    ADD COLUMN touches jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN cleared_at timestamptz,
    ADD COLUMN held_for text CHECK (held_for IN ('fraud', 'staff')),
    DROP CONSTRAINT commission_state_check,
    DROP CONSTRAINT owed_is_known,
    DROP CONSTRAINT nothing_without_reason,
    ADD CONSTRAINT commission_state_check CHECK (state IN ('declined', 'denied', 'held', 'pending', 'payable')),
    ADD CONSTRAINT owed_is_known CHECK (
        (state IN ('pending', 'payable') OR (state = 'held' AND reason <> 'no_rate'))
        = (amount_minor IS NOT NULL AND amount_minor >= 0 AND affiliate_id IS NOT NULL)
    ),
    ADD CONSTRAINT nothing_without_reason CHECK ((state IN ('declined', 'denied', 'held')) = (reason IS NOT NULL));
-- The lists, newest first. Each list is so many states of the whole, and reads the newest of every one: by its index it
-- finds them where they begin, whatever else there is.
CREATE INDEX commission_of_state ON commission (store_id, state, earned_at, commission_id);
CREATE INDEX commission_of_code ON commission (store_id, code, state, earned_at, commission_id);
-- What somebody bought and is owed for: it may turn out to be their own purchase.
CREATE INDEX commission_of_buyer ON commission (store_id, customer_id) WHERE state IN ('held', 'pending', 'payable');
CREATE INDEX commission_of_acting_buyer ON commission (store_id, current_customer_id)
    WHERE state IN ('held', 'pending', 'payable') AND current_customer_id IS DISTINCT FROM customer_id;
DROP INDEX commission_latest;
CREATE INDEX commission_of_affiliate ON commission (store_id, affiliate_id, state, earned_at, commission_id)
    INCLUDE (code, revenue_minor) -- for the sales of each day
    WHERE affiliate_id IS NOT NULL;

-- What fraud-block thought of orders: only where it was not content. open: there may be something to hold yet, by an
-- order that was decided without it and is not kept before the verdict is.
CREATE TABLE verdict (
    store_id text NOT NULL,
    order_id text NOT NULL,
    decision text NOT NULL CHECK (decision IN ('block', 'review')),
    rule_ids text[] NOT NULL,
    heard_at timestamptz NOT NULL,
    open boolean NOT NULL DEFAULT true,
    PRIMARY KEY (store_id, order_id)
);
CREATE INDEX verdict_open ON verdict (heard_at) WHERE open;
SELECT tenant_table('verdict', api => 'SELECT', worker => 'SELECT, INSERT, UPDATE');

ALTER TABLE claim
    ADD COLUMN asset text,
    ADD COLUMN network text,
    ADD COLUMN address text,
    ADD COLUMN address_key text, -- as payout_address has it: its network, a colon, its key
    ADD COLUMN note text,
    ADD COLUMN approvable_at timestamptz, -- the cooling period after another address is over
    ADD COLUMN approvals text[] NOT NULL DEFAULT '{}', -- who, as actor:id
    ADD COLUMN transaction_hash text,
    ADD COLUMN transaction_shared boolean NOT NULL DEFAULT false, -- staff say that it pays others, too
    ADD COLUMN explanation text, -- what staff said to a rejection or a failure
    ADD COLUMN bonus_minor bigint NOT NULL DEFAULT 0 CHECK (bonus_minor >= 0),
    ADD COLUMN changed_at timestamptz,
    DROP CONSTRAINT claim_kind_check,
    DROP CONSTRAINT claim_status_check,
    DROP CONSTRAINT failed_has_its_reason,
    DROP CONSTRAINT ended_has_its_time;
ALTER TABLE claim NO FORCE ROW LEVEL SECURITY;
UPDATE claim SET changed_at = coalesce(ended_at, created_at);
ALTER TABLE claim FORCE ROW LEVEL SECURITY;
ALTER TABLE claim
    ALTER COLUMN changed_at SET NOT NULL,
    ADD CONSTRAINT claim_kind_check CHECK (kind IN ('conversion', 'payout')),
    ADD CONSTRAINT claim_status_check CHECK (
        status IN ('PROCESSING', 'COMPLETED', 'FAILED')
        OR (kind = 'payout' AND status IN ('PENDING', 'APPROVED', 'REJECTED', 'SENT', 'CONFIRMED'))
    ),
    ADD CONSTRAINT payout_has_its_way CHECK (
        num_nonnulls(asset, network, address, address_key, approvable_at) = CASE kind WHEN 'payout' THEN 5 ELSE 0 END
    ),
    ADD CONSTRAINT sent_has_its_transaction CHECK (status NOT IN ('SENT', 'CONFIRMED') OR transaction_hash IS NOT NULL),
    ADD CONSTRAINT failed_has_its_reason CHECK ((status IN ('FAILED', 'REJECTED')) = (reason IS NOT NULL)),
    ADD CONSTRAINT ended_has_its_time CHECK (
        (status IN ('COMPLETED', 'FAILED', 'REJECTED', 'CONFIRMED')) = (ended_at IS NOT NULL)
    );
DROP INDEX claim_latest;
DROP INDEX claim_processing;
CREATE INDEX claim_of_kind ON claim (store_id, kind, status, created_at, claim_id);
CREATE INDEX claim_of_affiliate ON claim (store_id, affiliate_id, kind, status, created_at, claim_id);
CREATE INDEX claim_of_asset ON claim (store_id, asset, status, created_at, claim_id) WHERE asset IS NOT NULL;
CREATE INDEX claim_of_network ON claim (store_id, network, status, created_at, claim_id) WHERE network IS NOT NULL;
CREATE INDEX claim_of_address ON claim (store_id, affiliate_id, address_key, created_at)
    WHERE address_key IS NOT NULL AND status <> 'REJECTED';
-- A payout that failed leaves its transaction to others.
CREATE INDEX claim_of_transaction ON claim (store_id, network, transaction_hash)
    WHERE transaction_hash IS NOT NULL AND status <> 'FAILED';
CREATE UNIQUE INDEX claim_transaction ON claim (store_id, network, transaction_hash)
    WHERE transaction_hash IS NOT NULL AND status <> 'FAILED' AND NOT transaction_shared;

-- The addresses affiliates have asked to be paid at; "network" is the kind (ethereum for all that share its addresses),
-- "key" the address in the one form that compares. One rests since first_used_at, when a request was made that was not
-- rejected; null: all were, and it is new. The row stays: it shows who is the same person.
CREATE TABLE payout_address (
    store_id text NOT NULL,
    affiliate_id text NOT NULL,
    network text NOT NULL,
    key text NOT NULL,
    first_used_at timestamptz,
    PRIMARY KEY (store_id, affiliate_id, network, key),
    FOREIGN KEY (store_id, affiliate_id) REFERENCES affiliate
);
CREATE INDEX payout_address_key ON payout_address (store_id, network, key);
SELECT tenant_table('payout_address', api => 'SELECT, INSERT, UPDATE', worker => 'SELECT, INSERT, UPDATE, DELETE');

-- A third cause of movements: two affiliates became one, since their customers did. All that is in a bucket moves at
-- once then: a sum, which may be larger than any amount.
ALTER TABLE journal
    ADD COLUMN turn int,
    ADD COLUMN other_affiliate_id text,
    DROP CONSTRAINT journal_kind_check,
    DROP CONSTRAINT journal_amount_minor_check,
    DROP CONSTRAINT one_cause,
    ADD CONSTRAINT journal_kind_check CHECK (
        kind IN ('earned', 'reversed', 'matured', 'held', 'reserved', 'converted', 'paid', 'returned', 'merged')
    ),
    ADD CONSTRAINT journal_amount_minor_check CHECK (
        amount_minor > 0 AND (amount_minor < 1000000000000000 OR kind = 'merged')
    ),
    ADD CONSTRAINT one_cause CHECK (num_nonnulls(commission_id, claim_id, other_affiliate_id) = 1),
    ADD CONSTRAINT merged_with_whom CHECK ((kind = 'merged') = (other_affiliate_id IS NOT NULL));
-- A commission that was held and released matures again, so its turn is the lock; a payout ends once too.
DROP INDEX journal_matured;
DROP INDEX journal_ended;
CREATE UNIQUE INDEX journal_turn ON journal (store_id, commission_id, turn, affiliate_id)
    WHERE commission_id IS NOT NULL; -- those from before have no turn; by it a commission's history is found
CREATE UNIQUE INDEX journal_ended ON journal (store_id, claim_id) WHERE kind IN ('converted', 'paid', 'returned');
CREATE UNIQUE INDEX journal_merged ON journal (store_id, affiliate_id, other_affiliate_id, source, target)
    WHERE kind = 'merged';
CREATE INDEX journal_at ON journal (store_id, affiliate_id, at, seq);

-- What the journal's movements of a day (UTC) come to: a statement reads days, and movements at its two ends only.
CREATE TABLE journal_day (
    store_id text NOT NULL,
    affiliate_id text NOT NULL,
    day date NOT NULL,
    kind text NOT NULL,
    source text NOT NULL,
    target text NOT NULL,
    moves bigint NOT NULL,
    moved_minor numeric NOT NULL, -- of a day of large amounts it may be larger than any amount
    PRIMARY KEY (store_id, affiliate_id, day, kind, source, target)
) WITH (fillfactor = 70);
ALTER TABLE journal NO FORCE ROW LEVEL SECURITY;
INSERT INTO journal_day
SELECT store_id, affiliate_id, (at AT TIME ZONE 'UTC')::date, kind, source, target, count(*), sum(amount_minor)
FROM journal GROUP BY 1, 2, 3, 4, 5, 6;
ALTER TABLE journal FORCE ROW LEVEL SECURITY;
SELECT tenant_table('journal_day', api => 'SELECT, INSERT, UPDATE', worker => 'SELECT, INSERT, UPDATE');

-- Who did what, for ever.
CREATE TABLE activity (
    store_id text NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    actor_id text NOT NULL,
    action text NOT NULL,
    subject_id text NOT NULL,
    note text,
    detail jsonb NOT NULL,
    PRIMARY KEY (store_id, seq)
);
CREATE INDEX activity_subject ON activity (store_id, subject_id, seq);
SELECT tenant_table('activity', api => 'SELECT, INSERT', worker => 'SELECT, INSERT');
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON activity
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

DO $$
DECLARE
    api_role text := current_setting('chassis.service') || '_api';
BEGIN
    EXECUTE format('GRANT UPDATE ON claim, commission TO %I', api_role);
END $$;
