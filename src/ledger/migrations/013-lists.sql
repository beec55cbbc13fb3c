-- A delivery that is recorded, sent and confirmed enters no index for lists and metrics. Open deliveries are few enough to be found by the
-- indexes of the drainers and the sweep. Only deliveries that end otherwise enter an index of their own.
drop index deliveries_by_state;
drop index deliveries_failed;
drop index deliveries_failed_callbacks;
drop index deliveries_unescalated;
drop index broadcasts_by_state;

-- Ids sort by time only where they are compared byte by byte. The collation of a database may do otherwise: Czech sorts "ch" behind "h".
-- This builds every index with an id anew; no row is touched. Columns that are compared with each other keep one collation.
alter table broadcasts alter column id type text collate "C";
alter table revisions alter column broadcast_id type text collate "C";
alter table deliveries alter column id type text collate "C", alter column broadcast_id type text collate "C";
alter table attempts alter column delivery_id type text collate "C";

-- Deliveries that ended without being confirmed: lists show them, and the metrics count them up to a bound. Callbacks count apart.
create index deliveries_unconfirmed on deliveries (state, role, id)
  where state in ('dead', 'unknown', 'expired', 'cancelled', 'superseded');
create index deliveries_unconfirmed_at on deliveries (destination, state, id)
  where state in ('dead', 'unknown', 'expired', 'cancelled', 'superseded');

-- Deliveries at a fallback, by the broadcast that they are of: they may be much younger than it (list-broadcasts.ts).
create index deliveries_escalated on deliveries (destination, broadcast_id) where escalated_from is not null;

-- Deliveries that may have to go to a fallback as well (escalate-overdue.ts). Those in flight are few, and are found by their leases.
create index deliveries_unescalated on deliveries (destination, priority, waiting_since)
  where role = 'message' and ended_at is null and confirmed = 0 and escalated_to is null and not cancel_requested
    and lease_until is null;

create index broadcasts_undelivered on broadcasts (state, severity, id) where state <> 'delivered';
create index broadcasts_by_severity on broadcasts (severity, id) where severity <> 'info';
