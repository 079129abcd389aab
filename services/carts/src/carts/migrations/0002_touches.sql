-- The affiliates' links that a buyer had followed when the cart was opened, and with those until checkout, when it was
-- ordered: [[code, instant], …], the newest first.
ALTER TABLE cart ADD COLUMN touches jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(touches) = 'array');
ALTER TABLE "order" ADD COLUMN touches jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(touches) = 'array');
