import type { PoolClient } from 'pg';
import { jsonb } from './database.ts';
import { notifyDue } from './due.ts';
import { type StoredDelivery, stamp } from './rows.ts';

/** Writes deliveries as they now are, in the transaction that locked their broadcasts. What is due now is told to the drainers. */
export async function writeDeliveries(client: PoolClient, rows: readonly StoredDelivery[]): Promise<void> {
  await client.query({
    name: 'write-deliveries',
    text: `
with given as (
  select * from jsonb_to_recordset($1::jsonb) as g (
    id text, state text, hold text, priority smallint, attempt integer, uncounted integer, desired integer, confirmed integer, receipt jsonb,
    suspect jsonb, last_error jsonb, cancel_requested boolean, linking boolean, doubtful boolean, unthreaded boolean,
    due_at timestamptz, expires_at timestamptz, waiting_since timestamptz, updated_at timestamptz, ended_at timestamptz)
)
update deliveries d
   set state = g.state, hold = g.hold, priority = g.priority, attempt = g.attempt, uncounted = g.uncounted, desired = g.desired, confirmed = g.confirmed,
       receipt = nullif(g.receipt, 'null'), suspect = nullif(g.suspect, 'null'), last_error = nullif(g.last_error, 'null'),
       cancel_requested = g.cancel_requested, linking = g.linking, doubtful = g.doubtful, unthreaded = g.unthreaded,
       due_at = g.due_at, expires_at = g.expires_at, waiting_since = g.waiting_since, updated_at = g.updated_at, ended_at = g.ended_at,
       ${stamp},
       action = case when g.state = 'sending' then d.action end,
       started_at = case when g.state = 'sending' then d.started_at end,
       sending_revision = case when g.state = 'sending' then d.sending_revision end,
       lease_until = case when g.state = 'sending' then d.lease_until end
  from given g
 where d.id = any($2) and d.id = g.id`,
    values: [jsonb(rows.map(written)), rows.map(({ id }) => id)],
  });
  const due = rows.filter(({ state, due_at, updated_at }) => state !== 'sending' && due_at && due_at <= updated_at);
  await notifyDue(
    client,
    due.map(({ destination }) => destination),
  );
}

/** What of a row may have changed; the rest of it would only be sent. */
function written({ event: _, ...row }: StoredDelivery) {
  return row;
}
