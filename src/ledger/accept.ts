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
  deliveries: { id: string; destination: string; kind: string; required: boolean; maxAttempts: number }[];
}

/** `replayed` and `conflict` name the broadcast that the idempotency key already belongs to. */
export type Accepted = { id: string } & (
  | {
      is: 'recorded';
      createdAt: Date;
      /** What stands in the way of those deliveries that are held from the beginning, by their ids. */
      held: Record<string, 'paused' | 'breaker' | 'topic'>;
    }
  | { is: 'replayed' | 'conflict' }
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
    values: [JSON.stringify(intents.map(broadcastOf)), JSON.stringify(intents.flatMap(deliveriesOf))],
  });
  const answers = new Map(rows.map((row) => [row.given, row]));
  const lost = intents.filter(({ id }) => !answers.has(id));
  if (lost.length > 0) {
    // Another transaction recorded the same key after our snapshot was taken: a fresh one sees it.
    for (const row of await holders(db, lost)) answers.set(row.given, row);
  }
  return intents.map(({ id }) => {
    const row = answers.get(id);
    if (!row) throw new Error(`broadcast ${id} was neither recorded nor found under its idempotency key`);
    if (row.created_at) return { id: row.id, is: 'recorded', createdAt: row.created_at, held: row.held ?? {} };
    return { id: row.id, is: row.same ? 'replayed' : 'conflict' };
  });
}

interface Answer {
  given: string;
  id: string;
  /** Null: it was recorded before. */
  created_at: Date | null;
  held: Record<string, 'paused' | 'breaker' | 'topic'> | null;
  same: boolean | null;
}

/** The broadcast that has a request's idempotency key already. */
const holder = recordedFor('g.made_by', 'g.idempotency_key', `decode(g.request_hash, 'base64')`);

const statement = `
with given as (
  select * from jsonb_to_recordset($1::jsonb) as g (
    id text, severity text, topic text, correlation_id text, traceparent text, metadata jsonb, callback jsonb,
    callback_secret text, cross_link boolean, made_by text, idempotency_key text, request_hash text, expires_at timestamptz, message jsonb)
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
     -- Recorded before makers were: it belongs to whoever repeats its very request.
     and not exists (
       select from broadcasts b
        where b.made_by = '' and b.idempotency_key = g.idempotency_key and b.request_hash = decode(g.request_hash, 'base64'))
  on conflict (made_by, idempotency_key) where idempotency_key is not null do nothing
  returning id, topic, expires_at, created_at
), texts as (
  insert into revisions (broadcast_id, revision, message)
  select id, 1, message from recorded join given using (id)
), sent as (
  insert into deliveries (id, broadcast_id, destination, kind, required, priority, topic, max_attempts, expires_at,
                          state, hold, due_at)
  select d.id, d.broadcast_id, d.destination, d.kind, d.required, d.priority, r.topic, d.max_attempts, r.expires_at,
         case when h.hold is null then 'pending' else 'held' end,
         h.hold,
         case when h.hold is null then now() end
    from jsonb_to_recordset($2::jsonb) as d (
           id text, broadcast_id text, destination text, kind text, required boolean, priority smallint, max_attempts integer)
    join recorded r on r.id = d.broadcast_id
    left join destinations t on t.name = d.destination
    -- What changes in this very moment is not seen here: claim looks again, and the sweep frees what need not have been held.
    cross join lateral (select case
      when t.paused_at is not null then 'paused'
      when t.breaker_until is not null then 'breaker'
      when r.topic is not null and exists (
        select from deliveries e
         where e.destination = d.destination and e.topic = r.topic
           and e.state in ('pending', 'sending', 'verifying', 'retrying', 'held')) then 'topic' end as hold) h
   order by d.broadcast_id, d.id
  returning id, broadcast_id, destination, state, hold
), woken as (
  select pg_notify('${dueChannel}', ${duePayload('destination')}) from sent where state = 'pending' having count(*) > 0
)
select g.id as given, coalesce(r.id, b.id) as id, r.created_at, s.held, b.same, (select count(*) from woken) as woken
  from given g
  left join recorded r on r.id = g.id
  left join (select broadcast_id, jsonb_object_agg(id, hold) as held from sent where hold is not null group by 1) s
    on s.broadcast_id = g.id
  left join lateral ${holder} b on r.id is null
 where r.id is not null or b.id is not null`;

async function holders(db: Database, lost: readonly Intent[]) {
  const { rows } = await db.query<Answer>(
    `select g.id as given, b.id, null as created_at, null as held, b.same
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
  };
}

function deliveriesOf(intent: Intent) {
  return intent.deliveries.map(({ id, destination, kind, required, maxAttempts }) => ({
    id,
    broadcast_id: intent.id,
    destination,
    kind,
    required,
    priority: priorityOf(intent.message.severity),
    max_attempts: maxAttempts,
  }));
}
