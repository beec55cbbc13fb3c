import type { Message } from '../message.ts';
import type { Database } from './database.ts';
import { dueChannel, duePayload } from './due.ts';
import { recordedFor } from './find-recorded.ts';
import { priorityOf } from './priority.ts';

/** A broadcast as it will be recorded: destinations resolved, ids given, the callback's secret sealed. */
export interface Intent {
  id: string;
  message: Message;
  topic: string | null;
  correlationId: string;
  traceparent: string | null;
  metadata: Record<string, string>;
  callback: { url: string; events: string[] } | null;
  callbackSecret: Buffer | null;
  crossLink: boolean;
  /** The id of the API key that asks for it. Idempotency keys are counted for each. */
  madeBy: string;
  idempotencyKey: string | null;
  /** SHA-256 of the request; required with an idempotency key. */
  requestHash: Buffer | null;
  expiresAt: Date | null;
  /** The audience that it was resolved from, as it was read. */
  audience?: { name: string; version: number } | null;
  deliveries: {
    id: string;
    destination: string;
    /** The destination's, as it was read. Without one, whatever is configured now will do. */
    version?: number;
    kind: string;
    required: boolean;
    maxAttempts: number;
  }[];
}

/**
 * `replayed` and `conflict` name the broadcast that the idempotency key already belongs to. Nothing is recorded of what is `stale`
 * (a destination or its audience is not as it was read) or `late` (its deadline has passed).
 */
export type Accepted = { id: string } & (
  | {
      is: 'recorded';
      createdAt: Date;
      /** What stands in the way of those deliveries that are held from the beginning, by their ids. */
      held: Record<string, 'paused' | 'breaker' | 'topic'>;
    }
  | { is: 'replayed' | 'conflict' | 'stale' | 'late' }
);

/**
 * Records broadcasts, each with its first revision and its deliveries: all of it or nothing, in one statement,
 * durable when it resolves. A delivery that could not go now, because its destination is stopped or its topic still busy there, starts
 * out held: it costs the queue nothing.
 */
export async function accept(db: Database, intents: readonly Intent[]): Promise<Accepted[]> {
  const { rows } = await db.query<Answer>({
    name: 'accept',
    text: statement,
    values: [JSON.stringify(intents.map(broadcastOf)), ...columnsOf(intents)],
  });
  const answers = new Map(rows.map((row) => [row.given, row]));
  const lost = intents.filter(({ id }) => isLost(answers.get(id)));
  if (lost.length > 0) {
    // Another transaction recorded the same key after our snapshot was taken: a fresh one sees it.
    for (const row of await holders(db, lost)) answers.set(row.given, row);
  }
  return intents.map(({ id }) => {
    const row = answers.get(id);
    if (!row || isLost(row))
      throw new Error(`broadcast ${id} was neither recorded nor found under its idempotency key`);
    if (row.created_at) return { id, is: 'recorded', createdAt: row.created_at, held: row.held ?? {} };
    if (row.id) return { id: row.id, is: row.same ? 'replayed' : 'conflict' };
    return { id, is: row.refused ?? 'stale' };
  });
}

function isLost(row: Answer | undefined): boolean {
  return !row?.created_at && !row?.id && !row?.refused;
}

interface Answer {
  given: string;
  /** Null: it was not recorded now. */
  created_at: Date | null;
  held: Record<string, 'paused' | 'breaker' | 'topic'> | null;
  /** The broadcast that has its idempotency key, and whether that was asked for by the same request. */
  id: string | null;
  same: boolean | null;
  refused: 'late' | 'stale' | null;
}

/** The broadcast that has a request's idempotency key already. */
const holder = recordedFor('g.made_by', 'g.idempotency_key', `decode(g.request_hash, 'base64')`);

// Sets are asked by `in`, whose hash tables need no plan of their own: joins compare everything with everything here (database.ts).
const statement = `
with given as materialized (
  select * from jsonb_to_recordset($1::jsonb) as g (
    id text, severity text, topic text, correlation_id text, traceparent text, metadata jsonb, callback jsonb,
    callback_secret text, cross_link boolean, made_by text, idempotency_key text, request_hash text, expires_at timestamptz, message jsonb,
    audience text, audience_version bigint)
), wanted as materialized (
  select * from unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::boolean[], $8::smallint[], $9::integer[],
                       $10::text[], $11::timestamptz[])
           with ordinality as d (id, broadcast_id, destination, version, kind, required, priority, max_attempts, topic, expires_at, n)
), places as materialized (
  select name, version, paused_at, breaker_until from destinations where name = any($12::text[])
), stale as materialized (
  select broadcast_id as id from wanted
   where version is not null and (destination, version) not in (select name, version from places)
  union all
  select id from given g
   where g.audience is not null
     and not exists (select from audiences a where a.name = g.audience and a.version = g.audience_version offset 0)
), in_turn as materialized (
  -- One topic's broadcasts are numbered in the order in which they become visible: the later one would otherwise be sent, and start
  -- a thread of its own, before the earlier one is there to hold it back.
  select pg_advisory_xact_lock(hashtextextended('tocsin topic ' || topic, 0))
    from (select distinct topic from given where topic is not null order by topic) t
), recorded as (
  insert into broadcasts (id, severity, topic, correlation_id, traceparent, metadata, callback, callback_secret, cross_link,
                          made_by, idempotency_key, request_hash, expires_at)
  select id, severity, topic, correlation_id, traceparent, metadata, callback, decode(callback_secret, 'base64'), cross_link,
         made_by, idempotency_key, decode(request_hash, 'base64'), expires_at
    from given g
   where (select count(*) from in_turn) >= 0
     and id not in (select id from stale)
     and (expires_at <= now()) is not true
     -- Recorded before makers were: it belongs to whoever repeats its very request.
     and (idempotency_key is null or not exists (
       select from broadcasts b
        where b.made_by = '' and b.idempotency_key = g.idempotency_key and b.request_hash = decode(g.request_hash, 'base64')))
  on conflict (made_by, idempotency_key) where idempotency_key is not null do nothing
  returning id
), judged as materialized (
  select *, id in (select id from recorded) as is_recorded from given
), texts as (
  insert into revisions (broadcast_id, revision, message)
  select id, 1, message from judged where is_recorded
), sent as (
  insert into deliveries (id, broadcast_id, destination, kind, required, priority, topic, max_attempts, expires_at,
                          state, hold, due_at)
  select d.id, d.broadcast_id, d.destination, d.kind, d.required, d.priority, d.topic, d.max_attempts, d.expires_at,
         case when h.hold is null then 'pending' else 'held' end,
         h.hold,
         case when h.hold is null then now() end
    from wanted d
    -- What changes in this very moment is not seen here: claim looks again, and the sweep frees what need not have been held.
    cross join lateral (select case
      when d.destination in (select name from places where paused_at is not null) then 'paused'
      when d.destination in (select name from places where breaker_until is not null) then 'breaker'
      -- The newest first: that is mostly the open one, and only the topic's own index has this order.
      when d.topic is not null and (
        select true from deliveries e
         where e.destination = d.destination and e.topic = d.topic
           and e.state in ('pending', 'sending', 'verifying', 'retrying', 'held')
         order by e.seq desc limit 1) then 'topic' end as hold offset 0) h
   where (d.broadcast_id in (select id from recorded)) is true
   order by d.n
  returning id, broadcast_id, destination, state, hold
), woken as (
  -- A hundred names fit into one notification, unless they are long.
  select pg_notify('${dueChannel}', ${duePayload('destination')})
    from (select destination, (row_number() over () - 1) / 100 as part
            from (select distinct destination from sent where state = 'pending') d) s
   group by part
)
select g.id as given, case when g.is_recorded then now() end as created_at, s.held, b.id, b.same,
       case when g.expires_at <= now() then 'late' when g.id in (select id from stale) then 'stale' end as refused,
       (select count(*) from woken) as woken
  from judged g
  left join (select broadcast_id, jsonb_object_agg(id, hold) as held from sent where hold is not null group by 1) s
    on s.broadcast_id = g.id
  left join lateral (select * from ${holder} h where not g.is_recorded) b on true`;

async function holders(db: Database, lost: readonly Intent[]) {
  const { rows } = await db.query<Answer>(
    `select g.id as given, null as created_at, null as held, b.id, b.same, null as refused
       from jsonb_to_recordset($1::jsonb) as g (id text, made_by text, idempotency_key text, request_hash text)
       cross join lateral ${holder} b`,
    [JSON.stringify(lost.map(broadcastOf))],
  );
  return rows;
}

function broadcastOf(intent: Intent) {
  return {
    id: intent.id,
    severity: intent.message.severity,
    topic: intent.topic,
    correlation_id: intent.correlationId,
    traceparent: intent.traceparent,
    metadata: intent.metadata,
    callback: intent.callback,
    callback_secret: intent.callbackSecret?.toString('base64') ?? null,
    cross_link: intent.crossLink,
    made_by: intent.madeBy,
    idempotency_key: intent.idempotencyKey,
    request_hash: intent.requestHash?.toString('base64') ?? null,
    expires_at: intent.expiresAt,
    message: intent.message,
    audience: intent.audience?.name ?? null,
    audience_version: intent.audience?.version ?? null,
  };
}

/** The deliveries as columns, which PostgreSQL reads in half the time of as many objects, and the destinations' names. */
function columnsOf(intents: readonly Intent[]): unknown[][] {
  const rows = intents.flatMap(({ id, message, topic, expiresAt, deliveries }) => {
    const priority = priorityOf(message.severity);
    return deliveries.map((each) => [
      each.id,
      id,
      each.destination,
      each.version ?? null,
      each.kind,
      each.required,
      priority,
      each.maxAttempts,
      topic,
      expiresAt,
    ]);
  });
  const columns = Array.from({ length: 10 }, (_, n) => rows.map((row) => row[n]));
  return [...columns, [...new Set(columns[2])]];
}
