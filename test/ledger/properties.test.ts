import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Rules } from '../../src/delivery/next.ts';
import type { Outcome } from '../../src/delivery/outcome.ts';
import { cancel } from '../../src/ledger/cancel.ts';
import { type Claimed, claim, claimDue } from '../../src/ledger/claim.ts';
import { findDue } from '../../src/ledger/due.ts';
import { escalateOverdue } from '../../src/ledger/escalate-overdue.ts';
import { expireOverdue } from '../../src/ledger/expire-overdue.ts';
import { findLostAttempts } from '../../src/ledger/find-lost-attempts.ts';
import { holdStopped } from '../../src/ledger/hold-stopped.ts';
import { pauseDestination } from '../../src/ledger/pause-destination.ts';
import { releaseStranded } from '../../src/ledger/release-stranded.ts';
import { releaseTopics } from '../../src/ledger/release-topics.ts';
import { resumeDestination } from '../../src/ledger/resume-destination.ts';
import { retry } from '../../src/ledger/retry.ts';
import { retract, revise } from '../../src/ledger/revise.ts';
import { sendProbes } from '../../src/ledger/send-probes.ts';
import type { Settled } from '../../src/ledger/settle.ts';
import {
  absent,
  blind,
  failed,
  type Ledger,
  letPass,
  openLedger,
  putDestination,
  receipt,
  record,
  repeatable,
  settleOne,
  success,
  verifiable,
} from '../support/ledger.ts';

let ledger: Ledger;

beforeAll(async () => {
  ledger = await openLedger();
});
afterAll(() => ledger.close());

/** What the kinds of this world can do. The blind one escalates to the repeatable one, after half a minute. */
const kinds: Record<string, Rules> = { asked: verifiable, repeated: repeatable, blind, callback: repeatable };
const names = ['asked', 'repeated', 'blind'] as const;

/** How a send ends, as its sender learns it, and whether the message is there in truth. */
const sends = {
  said: { landed: true, outcome: success },
  'lost reply': { landed: true, outcome: failed('ambiguous') },
  'lost request': { landed: false, outcome: failed('ambiguous') },
  refused: { landed: false, outcome: failed('permanent') },
  'try again': { landed: false, outcome: failed('transient') },
  'slow down': { landed: false, outcome: failed('rate_limited', { retryAfterMs: 5_000 }) },
};

const pick = fc.nat({ max: 30 });
const command = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      is: fc.constant('accept' as const),
      to: fc.subarray([...names], { minLength: 1 }),
      topic: fc.constantFrom(null, 'INC-1'),
      expires: fc.boolean(),
    }),
  },
  { weight: 8, arbitrary: fc.record({ is: fc.constant('ring' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('ring twice' as const), pick }) },
  {
    weight: 9,
    arbitrary: fc.record({
      is: fc.constant('outcome' as const),
      pick,
      send: fc.constantFrom(...(Object.keys(sends) as (keyof typeof sends)[])),
      dim: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ is: fc.constant('stale outcome' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('process dies' as const), pick, landed: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({ is: fc.constant('time passes' as const), seconds: fc.constantFrom(3, 8, 40, 150) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      is: fc.constantFrom('revise' as const, 'retract' as const, 'cancel' as const, 'retry' as const),
      pick,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ is: fc.constantFrom('pause' as const, 'resume' as const), name: fc.constantFrom(...names) }),
  },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('sweep' as const) }) },
); // prettier-ignore
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

/** The services, the processes and the people around one ledger. */
class World {
  /** Deliveries whose message is there in truth, with how often it was said anew. */
  readonly said = new Map<string, number>();
  /** What a person had tried again: of a kind that cannot be asked, twice is then their decision. */
  readonly retried = new Set<string>();
  readonly inFlight: Claimed[] = [];
  readonly over: Claimed[] = [];
  readonly broadcasts: string[] = [];
  readonly confirmed = new Map<string, number>();
  readonly converged = new Map<string, { now: boolean; times: number }>();

  async run(it: Command): Promise<void> {
    const { db } = ledger;
    switch (it.is) {
      case 'accept': {
        const expiresAt = it.expires ? new Date(Date.now() + 100_000) : null;
        const to = it.to.map((name) => ({ name, kind: name }));
        const callback = { url: 'https://hooks.example.com', events: ['broadcast.converged'] };
        this.broadcasts.push((await record(db, { to, topic: it.topic, expiresAt, callback })).id);
        return;
      }
      case 'ring':
        return this.ring([await this.anyDelivery(it.pick)]);
      case 'ring twice': {
        const id = await this.anyDelivery(it.pick);
        await Promise.all([this.ring([id]), this.ring([id, id])]);
        return;
      }
      case 'outcome': {
        const [claimed] = this.inFlight.splice(it.pick % Math.max(this.inFlight.length, 1), 1);
        if (claimed) await this.finish(claimed, it.send, it.dim);
        return;
      }
      case 'stale outcome': {
        const claimed = this.over[it.pick % Math.max(this.over.length, 1)];
        if (claimed) expect(await settleOne(db, claimed, failed('permanent'))).toMatchObject({ accepted: false });
        return;
      }
      case 'process dies': {
        const [claimed] = this.inFlight.splice(it.pick % Math.max(this.inFlight.length, 1), 1);
        if (!claimed) return;
        if (it.landed) this.land(claimed);
        this.over.push(claimed);
        await letPass(db, 60);
        return this.settleLost();
      }
      case 'time passes':
        return letPass(db, it.seconds);
      case 'revise':
        return this.withBroadcast(it.pick, (id) => revise(db, id, { title: `Better ${it.pick}`, severity: 'error' }));
      case 'retract':
        return this.withBroadcast(it.pick, (id) => retract(db, id));
      case 'cancel':
        return this.withBroadcast(it.pick, (id) => cancel(db, id));
      case 'retry':
        return this.withBroadcast(it.pick, async (broadcastId) => {
          const { rows } = await db.query('select id from deliveries where broadcast_id = $1', [broadcastId]);
          for (const { id } of rows) this.retried.add(id);
          await retry(db, { states: ['dead', 'unknown', 'expired'], broadcastId });
        });
      case 'pause':
        return void (await pauseDestination(db, it.name, 'maintenance'));
      case 'resume':
        return void (await resumeDestination(db, it.name));
      case 'sweep':
        return this.sweep();
    }
  }

  /** Every process lives, every service is well: drains what is found to be due, and nothing else. */
  async drain(): Promise<void> {
    const { db } = ledger;
    for (const name of names) await resumeDestination(db, name);
    for (let round = 0; round < 60; round++) {
      for (const claimed of this.inFlight.splice(0)) {
        await this.finish(claimed, 'said', false);
      }
      const lanes = (await findDue(db)).map(({ destination }) => ({
        destination,
        places: 500,
        concurrency: 500,
        stepMs: null,
      }));
      this.inFlight.push(...(await claimDue(db, lanes)).claimed);
      if (this.inFlight.length > 0) continue;
      const { rowCount } = await db.query('select from deliveries where ended_at is null');
      if (rowCount === 0) return;
      await letPass(db, 400);
      await this.sweep();
    }
    const { rows } = await db.query(
      'select id, destination, state, hold, due_at, suspect from deliveries where ended_at is null',
    );
    throw new Error(`lost: ${JSON.stringify(rows)}`);
  }

  async check(): Promise<void> {
    const { rows } = await ledger.db.query<Violations>(violations);
    expect(rows[0]).toEqual({ verdicts: 0, gaps: 0, unfinished: 0, old_texts: 0, one_sided: 0, twice: 0 });

    const deliveries = await ledger.db.query<{ id: string; kind: string; confirmed: number }>(
      'select id, kind, confirmed from deliveries',
    );
    for (const { id, kind, confirmed } of deliveries.rows) {
      expect(confirmed).toBeGreaterThanOrEqual(this.confirmed.get(id) ?? 0);
      this.confirmed.set(id, confirmed);
      if (kind === 'asked' || (kind === 'blind' && !this.retried.has(id))) {
        expect(this.said.get(id) ?? 0, `${id} was said anew`).toBeLessThanOrEqual(1);
      }
    }

    const broadcasts = await ledger.db.query<{ id: string; over: boolean; callbacks: number }>(
      `select id, converged_at is not null as over,
              (select count(*)::int from deliveries d where d.broadcast_id = b.id and d.role = 'callback') as callbacks
         from broadcasts b`,
    );
    for (const { id, over, callbacks } of broadcasts.rows) {
      const before = this.converged.get(id) ?? { now: false, times: 0 };
      const times = before.times + (over && !before.now ? 1 : 0);
      this.converged.set(id, { now: over, times });
      expect(callbacks, `callbacks of ${id}`).toBe(times);
    }
  }

  private async ring(ids: string[]): Promise<void> {
    if (ids.length === 0) return;
    this.inFlight.push(...(await claim(ledger.db, ids)));
  }

  private async finish(claimed: Claimed, send: keyof typeof sends, dim: boolean): Promise<Settled> {
    const { landed, outcome } = sends[send];
    const looks = claimed.action === 'verify';
    if (landed && !looks) this.land(claimed);
    const settled = await this.settle(claimed, looks ? (dim ? dimmed : this.look(claimed)) : outcome);
    this.over.push(claimed);
    await this.check();
    return settled;
  }

  private settle(claimed: Claimed, outcome: Outcome, tellsHealth = true) {
    const rules = kinds[claimed.kind] ?? blind;
    const changing = claimed.action === 'revise' || claimed.action === 'retract';
    return settleOne(ledger.db, claimed, outcome, { rules: changing ? repeatable : rules, tellsHealth, claimed });
  }

  private land({ id, action }: Claimed): void {
    if (action === 'deliver') this.said.set(id, (this.said.get(id) ?? 0) + 1);
  }

  private look({ id }: Pick<Claimed, 'id'>): Outcome {
    return this.said.has(id) ? { is: 'landed', receipt, revision: 1 } : absent;
  }

  private async settleLost(): Promise<void> {
    for (const lost of await findLostAttempts(ledger.db, 100, 0)) {
      const outcome: Outcome = lost.action === 'verify' ? dimmed : failed('ambiguous');
      await this.settle(lost as unknown as Claimed, outcome, false);
      const at = this.inFlight.findIndex(({ id, claim }) => id === lost.id && claim === lost.claim);
      if (at >= 0) this.over.push(...this.inFlight.splice(at, 1));
      await this.check();
    }
  }

  private async sweep(): Promise<void> {
    const { db } = ledger;
    await holdStopped(db, 100);
    await escalateOverdue(db, 100);
    await expireOverdue(db, 100);
    await this.settleLost();
    await sendProbes(db);
    await releaseStranded(db);
    await releaseTopics(db, 100);
  }

  private async anyDelivery(pick: number): Promise<string> {
    const { rows } = await ledger.db.query<{ id: string }>('select id from deliveries order by id');
    return rows[pick % Math.max(rows.length, 1)]?.id ?? 'dl_nowhere';
  }

  private async withBroadcast(pick: number, work: (id: string) => Promise<unknown>): Promise<void> {
    const id = this.broadcasts[pick % Math.max(this.broadcasts.length, 1)];
    if (id) await work(id);
  }
}

const dimmed: Outcome = {
  is: 'unclear',
  fault: { class: 'transient', reason: 'test', message: 'It is dark.', status: null, retryAfterMs: null },
};

interface Violations {
  verdicts: number;
  gaps: number;
  unfinished: number;
  old_texts: number;
  one_sided: number;
  twice: number;
}

const violations = `
select
  -- A broadcast is converging exactly while one of its messages is open.
  (select count(*)::int from broadcasts b where (b.state = 'converging') <> exists (
     select from deliveries d where d.broadcast_id = b.id and d.role = 'message' and d.ended_at is null)) as verdicts,
  -- Every claim but the one in flight has its attempt, numbered from one without gaps.
  (select count(*)::int from deliveries d where d.claims - (d.state = 'sending')::int <> (
     select count(*) from attempts a where a.delivery_id = d.id and a.n between 1 and d.claims)
     or exists (select from attempts a where a.delivery_id = d.id and a.n > d.claims)) as gaps,
  -- What is recorded as an attempt is over, and only what is in flight has a start of its own.
  (select count(*)::int from attempts where finished_at is null)
    + (select count(*)::int from deliveries where (started_at is not null) <> (state = 'sending')) as unfinished,
  -- What is still to be said is the newest text.
  (select count(*)::int from deliveries d join broadcasts b on b.id = d.broadcast_id
    where d.role = 'message' and d.ended_at is null and d.desired <> b.revision) as old_texts,
  -- Whoever was escalated names a delivery of the same broadcast at its fallback, and that one, where it was made for it, names it.
  (select count(*)::int from deliveries d where d.escalated_to is not null and not exists (
     select from deliveries f join destinations t on t.fallback = f.destination
      where f.id = d.escalated_to and f.broadcast_id = d.broadcast_id and t.name = d.destination
        and coalesce(f.escalated_from, d.id) = d.id)
     or d.escalated_from is not null and not exists (
     select from deliveries o where o.id = d.escalated_from and o.escalated_to = d.id)) as one_sided,
  -- Nothing was made twice for one delivery.
  (select count(*)::int from (select from deliveries where escalated_from is not null group by escalated_from having count(*) > 1) x) as twice`;

test('whatever happens in whatever order: nothing is lost, nothing is said twice, and every broadcast converges', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 40, size: 'max' }), async (commands) => {
      await ledger.clear();
      await putDestination(ledger.db, 'asked', { kind: 'asked', budget: 'token-a' });
      await putDestination(ledger.db, 'repeated', { kind: 'repeated', budget: 'token-a' });
      await putDestination(ledger.db, 'blind', {
        kind: 'blind',
        fallback: 'repeated',
        policy: { escalateAfterMs: 30_000 },
      });
      const world = new World();
      for (const each of commands) {
        await world.run(each);
        await world.check();
      }
      await world.drain();
      await world.check();
    }),
    { seed: 11, numRuns: 40, endOnFailure: true },
  );
}, 180_000);
