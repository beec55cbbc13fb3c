-- What failed is counted for the metrics, up to a bound for each destination and state. Rows come here only when they fail.
create index deliveries_failed on deliveries (destination, state)
  where role = 'message' and state in ('dead', 'unknown', 'expired');
create index deliveries_failed_callbacks on deliveries (state)
  where role = 'callback' and state in ('dead', 'unknown', 'expired');

-- Which API key made a broadcast: it alone may change it, and idempotency keys are counted for each API key. Empty for those that were
-- recorded before this was. No reference: a key that was withdrawn still made what it made.
alter table broadcasts add column made_by text not null default '';
alter table broadcasts drop constraint broadcasts_idempotency_key_key;
create unique index broadcasts_idempotency on broadcasts (made_by, idempotency_key) where idempotency_key is not null;
