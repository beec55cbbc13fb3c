-- Each configuration of a destination and each membership of an audience has a number, and no number is given twice. A cache compares
-- numbers to find out whether its copy is current, also after a destination was removed and made again. Triggers give the numbers, so
-- that a change by hand counts as well.
create sequence versions;
alter table destinations add column version bigint not null default nextval('versions');
alter table audiences add column version bigint not null default nextval('versions');

create function next_version() returns trigger language plpgsql as $$
begin
  new.version := nextval('versions');
  return new;
end
$$;

create trigger destinations_version before update of kind, settings, policy, required on destinations for each row
  when ((old.kind, old.settings, old.policy, old.required) is distinct from (new.kind, new.settings, new.policy, new.required))
  execute function next_version();
create trigger audiences_version before update of destinations on audiences for each row
  when (old.destinations is distinct from new.destinations)
  execute function next_version();
