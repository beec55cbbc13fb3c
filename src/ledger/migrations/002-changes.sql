-- What changed lately, for those who follow it (read-changes.ts): every row tells the transaction in which people last saw it change.
-- A stamp and not a log: nothing is written that would have to be read, kept or cleaned up when nobody follows.

-- Makes everything that is there no news. Also called where a dump was restored into a server that counts its transactions from a
-- lower number (migrate.ts): the stamps in it are of transactions that are yet to come.
create function forget_changes() returns void language plpgsql as $$
declare
  place text;
begin
  foreach place in array array['deliveries', 'broadcasts', 'destinations'] loop
    -- A new column whose default is a constant touches no row, however many there are.
    execute format('alter table %I drop column if exists changed_in', place);
    execute format($sql$alter table %I add column changed_in xid8 not null default '0'$sql$, place);
    execute format('alter table %I alter column changed_in set default pg_current_xact_id()', place);
    -- Without the id: rows that changed together share one entry, which makes it the smallest index of the table.
    execute format('create index %I on %I (changed_in)', place || '_changed', place);
  end loop;
end
$$;
select forget_changes();

create function stamp_change() returns trigger language plpgsql as $$
begin
  new.changed_in := pg_current_xact_id();
  return new;
end
$$;

-- Not when only its lane is asked to look again (`rung_at`): that happens often, and nobody sees it. The time alone would not tell:
-- settle writes whole milliseconds, and two of its steps may share one.
create trigger deliveries_changed before update on deliveries for each row
  when ((old.updated_at, old.state, old.hold, old.due_at, old.attempt, old.desired, old.confirmed, old.escalated_to, old.required,
         old.max_attempts, old.ended_at, old.last_error, old.receipt)
        is distinct from
        (new.updated_at, new.state, new.hold, new.due_at, new.attempt, new.desired, new.confirmed, new.escalated_to, new.required,
         new.max_attempts, new.ended_at, new.last_error, new.receipt))
  execute function stamp_change();

create trigger broadcasts_changed before update on broadcasts for each row execute function stamp_change();

-- Faults are counted with nearly every attempt while a place is sick; that is told when it trips the breaker, or ends.
create trigger destinations_changed before update on destinations for each row
  when ((old.updated_at, old.paused_at, old.pause_reason, old.breaker_until, old.probe, old.kind, old.settings, old.secrets,
         old.policy, old.required, old.fallback)
        is distinct from
        (new.updated_at, new.paused_at, new.pause_reason, new.breaker_until, new.probe, new.kind, new.settings, new.secrets,
         new.policy, new.required, new.fallback))
  execute function stamp_change();
