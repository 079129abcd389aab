-- An outbox that was large gives its pages back when it is empty: the relay vacuums it then. A few dead items on the
-- last page, which a vacuum that spares the index leaves alone, would otherwise keep the whole table.
ALTER TABLE outbox SET (vacuum_index_cleanup = on);

DO $$
BEGIN
    EXECUTE format('GRANT MAINTAIN ON outbox TO %I', current_setting('chassis.service') || '_worker');
END $$;
