-- Who a merged record acts through from then on.
ALTER TABLE customer ADD COLUMN merged_into text;
ALTER TABLE customer ADD CONSTRAINT customer_merged CHECK ((state = 'merged') = (merged_into IS NOT NULL));
