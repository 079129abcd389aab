-- What a dead letter needs to be handed back: its place in the order of its key, also when it died while parked, and
-- whether it ever entered the inbox.

ALTER TABLE parked ADD COLUMN partition int, ADD COLUMN "offset" bigint;

ALTER TABLE dead_letter ADD COLUMN unread boolean NOT NULL DEFAULT false;

-- A Kafka made anew counts its offsets from zero again: another event at the same place is another letter.
ALTER TABLE dead_letter DROP CONSTRAINT dead_letter_consumer_group_topic_partition_offset_key;
CREATE UNIQUE INDEX dead_letter_record
    ON dead_letter (consumer_group, topic, partition, "offset", coalesce(headers ->> 'ce_id', ''));
