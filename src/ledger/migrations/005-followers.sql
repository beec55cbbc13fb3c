-- Since when a delivery's first confirmation is waited for: its acceptance, or a person's retry. What is open during the upgrade
-- counts from the upgrade. A default that is no volatile expression touches no row, however many there are.
alter table deliveries add column waiting_since timestamptz not null default now();

-- What may have to go to a fallback as well (escalate-overdue.ts).
create index deliveries_unescalated on deliveries (destination, priority, waiting_since)
  where role = 'message' and ended_at is null and confirmed = 0 and escalated_to is null and not cancel_requested;

-- The callbacks that are still to be delivered, by what they are about (renew-callbacks.ts).
create index deliveries_callbacks on deliveries (broadcast_id, (event ->> 'type'), (coalesce(event ->> 'deliveryId', '')))
  where role = 'callback' and ended_at is null;
