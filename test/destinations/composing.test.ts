import { afterAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type Adapter, defineAdapter, type Said } from '../../src/destinations/adapter.ts';
import { type Composer, ComposerBusy, createComposer, type Limits } from '../../src/destinations/composing.ts';
import { effort, effortLimit } from '../../src/destinations/markdown/effort.ts';
import { parse } from '../../src/destinations/markdown/tree.ts';
import { adapters } from '../../src/destinations/registry.ts';
import type { Severity } from '../../src/message.ts';
import { honestBodies, hostileBodies } from './bodies.ts';

const composers: Composer[] = [];
/** On a busy machine a thread may take long to begin. */
const patient: Partial<Limits> = { plainAfterMs: 100_000, refusedAfterMs: 100_000, deadlineMs: 100_000 };

function composerOf(limits: Partial<Limits> = {}): Composer {
  const composer = createComposer({ ...patient, ...limits });
  composers.push(composer);
  return composer;
}

afterAll(() => Promise.all(composers.map((composer) => composer.close())));

const saying = (body: string, severity: Severity = 'info'): Said => ({
  message: { title: 'P1: checkout is down', severity, body },
  retracted: false,
  crossLinks: [],
});

const kinds = Object.values(adapters).filter(({ compose }) => compose);
const slack = adapters.slack as Adapter;
const long = honestBodies['lists in lists'] as string;

/** A kind that counts how often it is asked. */
function counting() {
  const seen: string[] = [];
  const adapter = defineAdapter({
    kind: 'counting',
    settings: z.any(),
    secrets: z.any(),
    receipt: z.looseObject({ at: z.string(), url: z.null() }),
    repeatable: [],
    compose({ message }) {
      seen.push(message.body ?? '');
      return { said: message.body };
    },
    render: (_notice, _settings, content) => content,
    deliver: async () => ({ at: '', url: null }),
  });
  return { adapter: adapter as Adapter, seen };
}

/** How often the event loop turns until it is asked to stop. */
function turns(): () => number {
  let count = 0;
  let going = true;
  const turn = () => {
    count += 1;
    if (going) setImmediate(turn);
  };
  setImmediate(turn);
  return () => {
    going = false;
    return count;
  };
}

describe('a body', () => {
  test.each(Object.entries(hostileBodies))('of %s is shown as it was written', (_, body) => {
    expect(effort(body)).toBeGreaterThan(effortLimit);
    expect(new Set(parse(body).children.map(({ type }) => type))).toEqual(new Set(['paragraph']));
  });

  test.each(Object.entries(honestBodies))('of nothing but %s is read, however long', (_, body) => {
    expect(effort(body)).toBeLessThan(effortLimit);
  });

  test('is judged by its text alone, in so many steps for each of its lines', () => {
    const quotes = (n: number) => effort('>a\n\n'.repeat(n));
    // Twice the quotes are four times the work, and no more.
    expect(quotes(2_000) / quotes(1_000)).toBeCloseTo(4, 1);
    expect(effort('a line of prose\n'.repeat(1_000))).toBe(0);
  });
});

describe('a long message', () => {
  const composer = composerOf();

  test.each(kinds)('is composed for $kind while the event loop turns', async (adapter) => {
    const counted = turns();
    await composer.compose(adapter, saying(`${long}- ${adapter.kind}`));
    expect(counted()).toBeGreaterThan(20);
  });

  test.each(kinds)('says for $kind what it would say had it been composed here', async (adapter) => {
    for (const body of [...Object.values(hostileBodies), long]) {
      const said = saying(body);
      const content = adapter.compose?.(said, parse(body));
      expect(await composer.compose(adapter, said)).toEqual(JSON.parse(JSON.stringify(content)));
    }
  });

  test('that is more important goes first', async () => {
    const done: string[] = [];
    const one = composerOf();
    await Promise.all(
      (['info', 'warning', 'critical'] as const).map(async (severity, n) => {
        await one.compose(slack, saying(`${long}- ${n}`, severity));
        done.push(severity);
      }),
    );
    // The first had begun when the others came.
    expect(done).toEqual(['info', 'critical', 'warning']);
  });

  test('is refused where too many wait: info first, critical last', async () => {
    const small = composerOf({ room: 1 });
    const ask = (n: number, severity: Severity, refusable: boolean) =>
      small.compose(slack, saying(`${long}- ${n}`, severity), { refusable });
    const first = ask(1, 'info', true);
    await expect(ask(2, 'info', true)).rejects.toBeInstanceOf(ComposerBusy);
    const others = [ask(3, 'warning', true), ask(4, 'critical', true), ask(5, 'info', false)];
    await Promise.all([first, ...others]);
    await expect(ask(2, 'info', true)).resolves.toMatchObject({ title: 'P1: checkout is down' });
  });

  test('that cannot be composed in time is sent as it was written', async () => {
    const late = composerOf({ plainAfterMs: 0 });
    const content = JSON.stringify(await late.compose(slack, saying(long)));
    expect(content).toContain('- one region\\n  - two of its services');
  });

  test('that holds the thread ends it, is shown as it was written from then on, and harms no other', async () => {
    const strict = composerOf({ deadlineMs: 1 });
    const once = await strict.compose(slack, saying(long));
    expect(JSON.stringify(once)).toContain('- one region\\n  - two of its services');
    expect(await strict.compose(slack, saying(long))).toBe(once);
    await expect(strict.compose(slack, saying(honestBodies.prose as string))).resolves.toMatchObject({
      title: 'P1: checkout is down',
    });
  });
});

describe('a message that was composed', () => {
  test('is kept for every destination, preview and attempt', async () => {
    const { adapter, seen } = counting();
    const composer = composerOf();
    const once = await composer.compose(adapter, saying('one'));
    expect(await composer.compose(adapter, saying('one'))).toBe(once);
    // The database keeps properties in another order than a request has them in.
    const { message } = saying('one');
    const turned = { ...saying(''), message: { body: message.body, severity: message.severity, title: message.title } };
    expect(await composer.compose(adapter, turned)).toBe(once);
    await composer.compose(adapter, { ...saying('one'), retracted: true });
    expect(seen).toEqual(['one', 'one']);
  });

  test('is forgotten when others need the room, the one not used for longest first', async () => {
    const { adapter, seen } = counting();
    const composer = composerOf({ cacheChars: 1_500 });
    for (const body of ['one', 'two', 'one', 'three', 'four', 'one']) await composer.compose(adapter, saying(body));
    expect(seen).toEqual(['one', 'two', 'three', 'four']);
    await composer.compose(adapter, saying('two'));
    expect(seen).toEqual(['one', 'two', 'three', 'four', 'two']);
  });
});
