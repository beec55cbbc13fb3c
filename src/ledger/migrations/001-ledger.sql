-- The ledger: the only memory. Its constraints refuse rows that the state machine cannot produce.

create table destinations (
  name             text        primary key check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  kind             text        not null,
  settings         jsonb       not null,
  secrets          bytea       not null,           -- sealed with TOCSIN_SECRET_KEY; never leaves the process in clear
  policy           jsonb       not null,
  required         boolean     not null default true,
  fallback         text        references destinations (name) deferrable initially deferred,
  budget           text,                           -- hash that names the credential's rate limit; shared by its destinations
  paused_at        timestamptz,
  pause_reason     text,
  faults           integer     not null default 0, -- transient and ambiguous outcomes in a row
  breaker_until    timestamptz,                    -- set: open until then, half-open afterwards
  breaker_trips    integer     not null default 0, -- openings in a row: each waits longer than the last
  probe            text,                           -- the one delivery let through while half-open
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  check ((paused_at is null) = (pause_reason is null)),
  check (breaker_until is not null or probe is null),
  check (fallback <> name)
);

create table audiences (
  name             text        primary key check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  destinations     text[]      not null check (cardinality(destinations) > 0),
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now()
);

create table api_keys (
  id               text        primary key,
  name             text        not null,
  hash             bytea       not null unique,    -- SHA-256 of the key: it has 256 random bits, so a slow hash adds nothing
  scopes           text[]      not null check (cardinality(scopes) > 0 and scopes <@ array['send', 'read', 'admin']),
  created_at       timestamptz not null default now()
);

create table broadcasts (
  id               text        primary key,
  state            text        not null default 'converging'
                               check (state in ('converging', 'delivered', 'partial', 'failed', 'cancelled')),
  revision         integer     not null default 1 check (revision > 0),
  retracted        boolean     not null default false,
  severity         text        not null check (severity in ('critical', 'error', 'warning', 'info')),
  topic            text,
  correlation_id   text        not null,
  traceparent      text,
  metadata         jsonb       not null,
  callback         jsonb,                          -- { url, events }
  callback_secret  bytea,                          -- sealed
  cross_link       boolean     not null default false,
  linked           text[]      not null default '{}', -- the permalinks that its chat copies already show
  idempotency_key  text        unique,
  request_hash     bytea,
  expires_at       timestamptz,
  created_at       timestamptz not null default now(),
  converged_at     timestamptz,
  check ((idempotency_key is null) = (request_hash is null)),
  check ((state = 'converging') = (converged_at is null))
);
create index broadcasts_by_topic on broadcasts (topic, id) where topic is not null;
create index broadcasts_by_state on broadcasts (state, id);

-- Every text a broadcast ever had. The last one of a retracted broadcast says nothing, but keeps the text it strikes.
create table revisions (
  broadcast_id     text        not null references broadcasts on delete cascade,
  revision         integer     not null check (revision > 0),
  message          jsonb       not null,
  retracted        boolean     not null default false,
  created_at       timestamptz not null default now(),
  primary key (broadcast_id, revision)
);

create table deliveries (
  id               text        primary key,
  seq              bigint      generated always as identity,  -- the order of a topic's broadcasts
  broadcast_id     text        not null references broadcasts on delete cascade,
  role             text        not null default 'message' check (role in ('message', 'callback')),
  destination      text        not null,           -- a destination's name; 'callback:<host>' for a callback
  kind             text        not null,
  event            jsonb,                          -- what a callback says, fixed when it happened
  required         boolean     not null,
  priority         smallint    not null,           -- 1 critical … 4 info
  topic            text,
  state            text        not null default 'pending'
                               check (state in ('pending', 'sending', 'verifying', 'retrying', 'held',
                                                'confirmed', 'dead', 'unknown', 'expired', 'cancelled', 'superseded')),
  hold             text        check (hold in ('paused', 'breaker', 'topic')),
  attempt          integer     not null default 0 check (attempt >= 0),
  uncounted        integer     not null default 0 check (uncounted between 0 and attempt),
  max_attempts     integer     not null check (max_attempts > 0),
  claims           integer     not null default 0, -- numbers the attempts; an outcome of an older claim is refused
  action           text        check (action in ('deliver', 'verify', 'revise', 'retract')),
  sending_revision integer,
  desired          integer     not null default 1 check (desired > 0),
  confirmed        integer     not null default 0 check (confirmed between 0 and desired),
  receipt          jsonb,
  suspect          jsonb,                          -- { since, from, looks, absentAt }: a send that may have landed
  last_error       jsonb,
  cancel_requested boolean     not null default false,
  doubtful         boolean     not null default false, -- a send that is cured by repeating may have landed: taking it back has to reach it
  root             jsonb,                          -- what it was sent under: a look has to go to the same place
  unthreaded       boolean     not null default false, -- what it was to go under is gone: it stands alone, and what follows goes under it
  linking          boolean     not null default false, -- the desired revision only adds cross-links: failing is no failure
  escalated_to     text,
  escalated_from   text,
  due_at           timestamptz,
  rung_at          timestamptz not null default now(), -- when its lane was last asked to look
  lease_until      timestamptz,
  expires_at       timestamptz,
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now(),
  ended_at         timestamptz,
  check ((state in ('confirmed', 'dead', 'unknown', 'expired', 'cancelled', 'superseded')) = (ended_at is not null)),
  check ((state in ('pending', 'verifying', 'retrying')) = (due_at is not null)),
  check ((state = 'sending') = (lease_until is not null)),
  check ((state = 'sending') = (action is not null and sending_revision is not null)),
  check ((state = 'held') = (hold is not null)),
  check ((state = 'confirmed') <= (confirmed = desired)),
  check ((confirmed > 0) <= (receipt is not null)),
  check ((role = 'callback') = (event is not null))
);
create unique index deliveries_once_per_destination on deliveries (broadcast_id, destination) where role = 'message';
create index deliveries_by_broadcast on deliveries (broadcast_id);
create index deliveries_due on deliveries (due_at) where state in ('pending', 'verifying', 'retrying');
create index deliveries_leased on deliveries (lease_until) where state = 'sending';
create index deliveries_held on deliveries (destination, hold, priority, seq) where state = 'held';
create index deliveries_deadline on deliveries (expires_at)
  where expires_at is not null and state in ('pending', 'retrying', 'held');
create index deliveries_topic on deliveries (destination, topic, seq) where topic is not null;
create index deliveries_by_destination on deliveries (destination, id);
create index deliveries_by_state on deliveries (state, id);

-- Written before the attempt is made; one that was never finished tells that the process died in it.
create table attempts (
  delivery_id      text        not null references deliveries on delete cascade,
  n                integer     not null,
  action           text        not null check (action in ('deliver', 'verify', 'revise', 'retract')),
  revision         integer     not null,
  started_at       timestamptz not null,
  finished_at      timestamptz,
  outcome          text,
  error            jsonb,
  primary key (delivery_id, n),
  check ((finished_at is null) = (outcome is null))
);

-- Rings that still have to reach their lane. A row is taken for a while, never deleted before the queue has it.
create table outbox (
  delivery_id      text        primary key references deliveries on delete cascade,
  destination      text        not null,
  priority         smallint    not null,
  hurry            boolean     not null default false, -- its job, kept for later by the queue, is to be woken
  taken_until      timestamptz,
  created_at       timestamptz not null default now()
);
-- Rings are taken destination by destination, so that one whose lane is full costs the others nothing: not a row of theirs has to
-- be passed over to find the next one that can go.
create index outbox_by_destination on outbox (destination, priority, created_at);

-- A credential's rate limit, as its service last stated it.
create table budgets (
  budget           text        primary key,
  blocked_until    timestamptz not null
);
