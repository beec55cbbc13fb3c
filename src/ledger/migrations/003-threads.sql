-- What a thread and a late retraction have to know of a delivery.
alter table deliveries
  add column root       jsonb,                         -- what it was sent under: a look has to go to the same place
  add column unthreaded boolean not null default false, -- what it was to go under is gone: it stands alone, and what follows goes under it
  add column doubtful   boolean not null default false; -- a send that is cured by repeating may have landed: taking it back has to reach it
