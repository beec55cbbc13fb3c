import pg from 'pg';
import { numberIn } from './load.ts';

/** One delivery as the ledger holds it. `n` numbers its broadcast. */
export interface Recorded {
  id: string;
  broadcastId: string;
  n: number | null;
  role: 'message' | 'callback';
  kind: string;
  state: string;
  log: string;
}

const open = `('pending', 'sending', 'verifying', 'retrying', 'held')`;

/** Statements that find what must not be there: each names its rule, and answers one line for every violation. */
const rules: Record<string, string> = {
  'a broadcast has converged exactly when none of its deliveries is open': `
    select b.id from broadcasts b
     where (b.state <> 'converging') <> not exists (
       select from deliveries d where d.broadcast_id = b.id and d.role = 'message' and d.state in ${open})`,
  'attempts are numbered without a gap, one for every claim': `
    select d.id from deliveries d left join attempts a on a.delivery_id = d.id
     group by d.id having count(a.n) <> d.claims or coalesce(max(a.n), 0) <> d.claims`,
  'every attempt of a delivery at rest has an outcome': `
    select a.delivery_id || ' #' || a.n as id from attempts a join deliveries d on d.id = a.delivery_id
     where a.outcome is null and d.state <> 'sending'`,
  'a confirmed delivery has an attempt that succeeded or found it': `
    select d.id from deliveries d where d.state = 'confirmed' and not exists (
      select from attempts a where a.delivery_id = d.id and a.outcome in ('success', 'landed'))`,
  'after a doubtful send that can be looked for, the next attempt looks': `
    select delivery_id || ' #' || n as id from (
      select a.delivery_id, a.n, a.action, d.kind,
             lag(a.action) over w as before_action, lag(a.outcome) over w as before_outcome
        from attempts a join deliveries d on d.id = a.delivery_id
      window w as (partition by a.delivery_id order by a.n)) steps
     where kind in ('slack', 'teams', 'jira') and action = 'deliver'
       and before_action = 'deliver' and before_outcome = 'ambiguous'`,
  'a send follows only a look that found nothing': `
    select delivery_id || ' #' || n as id from (
      select a.delivery_id, a.n, a.action,
             lag(a.action) over w as before_action, lag(a.outcome) over w as before_outcome
        from attempts a window w as (partition by a.delivery_id order by a.n)) steps
     where action = 'deliver' and before_action = 'verify' and before_outcome <> 'absent'`,
  'nothing is sent after it was confirmed': `
    select a.delivery_id as id from attempts a
     where a.action = 'deliver' and exists (
       select from attempts e where e.delivery_id = a.delivery_id and e.n < a.n and e.outcome in ('success', 'landed'))`,
};

export interface LedgerView {
  deliveries: Recorded[];
  /** Broken rules, with the first of what broke them. */
  broken: string[];
  /** Broadcasts per number: more than one means that an Idempotency-Key was recorded twice. */
  broadcasts: Map<number, string[]>;
  attempts: { sends: number; looks: number; doubtful: number };
}

/** Reads everything, changes nothing. */
export async function readLedger(url: string): Promise<LedgerView> {
  const client = new pg.Client({ connectionString: url, options: '-c default_transaction_read_only=on' });
  await client.connect();
  try {
    const broken: string[] = [];
    for (const [rule, statement] of Object.entries(rules)) {
      const { rows } = await client.query<{ id: string }>(statement);
      const first = rows.slice(0, 5).map(({ id }) => id);
      if (rows.length > 0) broken.push(`${rule}: ${rows.length} × not so (${first.join(', ')})`);
    }
    const { rows: titles } = await client.query<{ id: string; title: string }>(
      `select broadcast_id as id, message ->> 'title' as title from revisions where revision = 1 order by broadcast_id`,
    );
    const numbers = new Map(titles.map(({ id, title }) => [id, numberIn(title)]));
    const broadcasts = new Map<number, string[]>();
    for (const [id, n] of numbers) if (n !== null) broadcasts.set(n, [...(broadcasts.get(n) ?? []), id]);

    const { rows } = await client.query<Omit<Recorded, 'n'>>(
      `select d.id, d.broadcast_id as "broadcastId", d.role, d.kind, d.state,
              coalesce(string_agg(a.action || ' ' || coalesce(a.outcome, '…') || coalesce(' ' || (a.error ->> 'reason'), ''),
                                  ', ' order by a.n), '') as log
         from deliveries d left join attempts a on a.delivery_id = d.id
        group by d.id order by d.seq`,
    );
    const deliveries = rows.map((row) => ({ ...row, n: numbers.get(row.broadcastId) ?? null }));
    const { rows: counted } = await client.query<LedgerView['attempts']>(
      `select count(*) filter (where action = 'deliver')::int as sends, count(*) filter (where action = 'verify')::int as looks,
              count(*) filter (where action = 'deliver' and outcome = 'ambiguous')::int as doubtful from attempts`,
    );
    return { deliveries, broken, broadcasts, attempts: counted[0] ?? { sends: 0, looks: 0, doubtful: 0 } };
  } finally {
    await client.end();
  }
}
