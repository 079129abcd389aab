CREATE TABLE parcel (
    store_id text NOT NULL,
    parcel_id text NOT NULL,
    customer_id text,
    amount_minor bigint NOT NULL,
    status text NOT NULL DEFAULT 'SENT',
    PRIMARY KEY (store_id, parcel_id)
);
SELECT tenant_table('parcel');
