import { describe, expect, test } from 'vitest';
import { createAdmission } from '../../src/api/admission.ts';
import { type Backlog, watchBacklog } from '../../src/api/backlog.ts';
import { severities } from '../../src/message.ts';

const nothingWaits: Backlog = { secondsAbove: () => null };
const limits = { underWay: 1_000, patienceMs: 1_000, backlog: 100 };
const refused = { status: 503, code: 'overloaded' };

function clock() {
  const time = { now: 1_000 };
  return { time, now: () => time.now };
}

describe('while the ledger is slow', () => {
  test('info is shed first and critical last, and a few are let in to see when it is over', async () => {
    const { time, now } = clock();
    const admission = createAdmission(limits, nothingWaits, now);
    const done: (() => void)[] = [];
    const slow = () => new Promise<void>((resolve) => done.push(resolve));
    const scouts = Array.from({ length: 16 }, () => admission.run('info', slow));
    time.now += 1_500;
    await expect(admission.run('info', slow)).rejects.toMatchObject({ ...refused, headers: { 'retry-after': '2' } });
    scouts.push(admission.run('warning', slow));
    time.now += 5_000;
    await expect(admission.run('error', slow)).rejects.toMatchObject({ ...refused, headers: { 'retry-after': '7' } });
    scouts.push(admission.run('critical', slow));

    for (const end of done) end();
    await Promise.all(scouts);
    // It was slow a moment ago; quick answers, or a while without any, end that.
    for (let n = 0; n < 10; n++) await admission.run('info', async () => {});
    await expect(
      Promise.all(Array.from({ length: 100 }, () => admission.run('info', async () => 1))),
    ).resolves.toHaveLength(100);
  });

  test('a request alone is let in however slow the last one was', async () => {
    const { time, now } = clock();
    const admission = createAdmission(limits, nothingWaits, now);
    await admission.run('info', async () => {
      time.now += 60_000;
    });
    await expect(admission.run('info', async () => 'in')).resolves.toBe('in');
  });
});

test('what a request waits for elsewhere says nothing of the ledger, but is under way', async () => {
  const { time, now } = clock();
  const admission = createAdmission({ ...limits, underWay: 17 }, nothingWaits, now);
  const { promise: rendered, resolve } = Promise.withResolvers<void>();
  const all = Array.from({ length: 16 }, () => admission.run('info', (untimed) => untimed(rendered)));
  time.now += 60_000;
  all.push(admission.run('info', (untimed) => untimed(rendered)));
  await expect(admission.run('info', async () => {})).rejects.toThrow(/Too much is under way/);
  resolve();
  await Promise.all(all);
  const slow = Array.from({ length: 16 }, () => admission.run('info', () => new Promise(() => {})));
  await expect(admission.run('info', async () => 'in')).resolves.toBe('in');
  expect(slow).toHaveLength(16);
});

test('with too many under way, each severity has twice the room of the last', async () => {
  const admission = createAdmission({ ...limits, underWay: 1 }, nothingWaits);
  const forever = () => new Promise<never>(() => {});
  for (const [n, severity] of [...severities].reverse().entries()) {
    // What lesser ones have taken counts.
    for (let free = n === 0 ? 1 : 2 ** (n - 1); free > 0; free--) void admission.run(severity, forever);
    await expect(admission.run(severity, forever)).rejects.toMatchObject(refused);
  }
});

describe('a backlog', () => {
  async function backlogOf(first: Record<string, number>, then: Record<string, number>) {
    const { time, now } = clock();
    const samples = [first, then].map((each) => new Map(Object.entries(each)));
    const backlog = watchBacklog(async () => samples.shift() ?? new Map(Object.entries(then)), now);
    for (let n = 0; n < 2; n++) {
      backlog.secondsAbove(0, []);
      await new Promise(setImmediate);
      time.now += 10_000;
    }
    time.now -= 10_000;
    return createAdmission(limits, backlog, now);
  }

  test('sheds info first and critical last', async () => {
    const admission = await backlogOf({ slow: 250 }, { slow: 250 });
    for (const severity of ['info', 'warning'] as const) {
      expect(() => admission.weigh(severity, ['slow'])).toThrow(/Too much waits at slow .*Nothing was recorded/);
    }
    for (const severity of ['error', 'critical'] as const)
      expect(() => admission.weigh(severity, ['slow'])).not.toThrow();
  });

  test('of one destination stops no broadcast that goes elsewhere too', async () => {
    const admission = await backlogOf({ slow: 5_000 }, { slow: 5_000 });
    expect(() => admission.weigh('info', ['slow', 'quick'])).not.toThrow();
  });

  test('says when there will be room, from how fast it shrinks', async () => {
    const admission = await backlogOf({ slow: 600 }, { slow: 400 });
    try {
      admission.weigh('info', ['slow']);
      expect.unreachable();
    } catch (error) {
      // Twenty a second, and three hundred too many.
      expect(error).toMatchObject({ ...refused, headers: { 'retry-after': '16' } });
    }
  });

  test('that cannot be measured sheds nothing', () => {
    const backlog = watchBacklog(async () => {
      throw new Error('away');
    });
    expect(backlog.secondsAbove(0, ['slow'])).toBeNull();
  });
});
