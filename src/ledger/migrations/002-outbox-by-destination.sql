-- Rings are taken destination by destination, so that one whose lane is full costs the others nothing: not a row of theirs has to
-- be passed over to find the next one that can go.
alter table outbox add column destination text;
update outbox o set destination = d.destination from deliveries d where d.id = o.delivery_id;
alter table outbox alter column destination set not null;
drop index outbox_order;
create index outbox_by_destination on outbox (destination, priority, created_at);
