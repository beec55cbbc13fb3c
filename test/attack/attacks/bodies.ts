import { destinationAt, type HttpKind, mailAt, make, send } from '../kinds.ts';
import type { Attack, Trial } from '../trial.ts';

/** The most that a message's body may have. */
const most = 32 * 1024;
const filled = (piece: string) => piece.repeat(Math.floor(most / piece.length));

/** Bodies that are slow to parse, to render, or to trim. */
const shapes: Record<string, string> = {
  quotes: filled('>a\n\n'),
  'quotes in lists': filled('- > a\n'),
  'lists in quotes': filled('> - > - a\n'),
  'nested quotes': filled('>'),
  'nested lists': filled('- '),
  underscores: `a${'_'.repeat(most - 2)}a`,
  stars: filled('*a '),
  spaces: `a${' '.repeat(most - 2)}a`,
  brackets: filled('['),
  links: filled('[]()'),
  'table of many cells': `|${'a|'.repeat(200)}\n|${'-|'.repeat(200)}\n${filled(`|${'a|'.repeat(200)}\n`)}`.slice(
    0,
    most,
  ),
  backticks: filled('`a ``'),
  prose: filled('Error rate **42 %** since _14:02_; see [the runbook](https://example.com/r) for `details`. '),
  angles: filled('<a '),
  entities: filled('&amp;'),
};

/** Many places with the same, and some with other settings. */
async function makePlaces(trial: Trial, prefix: string, counts: Partial<Record<HttpKind, number>>): Promise<string[]> {
  const { url } = await trial.hostile((response, { path }) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const ts = `${Math.floor(Date.now() / 1_000)}.${String(Math.floor(Math.random() * 1e6)).padStart(6, '0')}`;
    // Good enough for the kinds used here: what comes back is not what is attacked.
    response.end(path.startsWith('/api/') ? JSON.stringify({ ok: true, channel: 'C0ATTACK', ts }) : '{}');
  });
  const bodies: Record<string, object> = {};
  for (const [kind, count] of Object.entries(counts) as [HttpKind, number][]) {
    for (let n = 0; n < count; n += 1) {
      bodies[`${prefix}-${kind}-${n}`] = destinationAt(kind, url, { rateLimit: { max: 100, perMs: 1_000 } });
    }
  }
  await make(trial, bodies);
  return Object.keys(bodies);
}

const previews: Attack = {
  name: 'hostile bodies to /previews',
  async run(trial) {
    const places = await makePlaces(trial, 'preview', { slack: 4, teams: 4, jira: 4, 'teams-workflow': 2 });
    await make(trial, { 'preview-mail': mailAt(9) });
    const statuses: Record<string, number> = {};
    let worst = 0;
    const { key } = (await trial.api('POST', '/keys', { name: 'previews', scopes: ['send'] })).body as { key: string };
    trial.target.hide(key);
    for (const [shape, body] of Object.entries(shapes)) {
      const message = { title: shape, body };
      const answer = await trial.api(
        'POST',
        '/previews',
        { message, destinations: [...places, 'preview-mail'] },
        { key },
      );
      statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
      worst = Math.max(worst, answer.ms);
    }
    trial.check(
      Object.keys(statuses).every((status) => Number(status) < 500 || status === '503'),
      JSON.stringify(statuses),
    );
    return `${Object.keys(shapes).length} bodies of 32 KiB to ${places.length + 1} places; the slowest took ${(worst / 1_000).toFixed(1)} s`;
  },
};

const broadcasts: Attack = {
  name: 'hostile bodies to /broadcasts',
  async run(trial) {
    const places = await makePlaces(trial, 'bodies', { slack: 8, teams: 4, jira: 4 });
    let refused = 0;
    for (const [shape, body] of Object.entries(shapes)) {
      const message = { title: shape, body };
      const { status } = await trial.api('POST', '/broadcasts', { message, destinations: places });
      if (status !== 202) refused += 1;
    }
    // The workers render it again.
    await trial.wait(5_000);
    return `${Object.keys(shapes).length} bodies of 32 KiB to ${places.length} places, ${refused} refused`;
  },
  leaves: true,
};

const manyPlaces: Attack = {
  name: 'one long body to 100 places',
  async run(trial) {
    const places = await makePlaces(trial, 'many', { slack: 100 });
    const began = performance.now();
    const id = await send(trial, places, { body: shapes.prose });
    const answered = performance.now() - began;
    const deliveries = await trial.settled(id, 20_000);
    const left = deliveries.filter(({ state }) => state !== 'confirmed').length;
    trial.check(answered < 5_000, `answered after ${(answered / 1_000).toFixed(1)} s`);
    trial.check(left === 0, `${places.length - left} confirmed`);
    return 'a body of 32 KiB of prose to 100 Slack channels';
  },
};

const flaws: Attack = {
  name: 'bodies that are wrong in every way',
  async run(trial) {
    const unknown = Object.fromEntries(Array.from({ length: 60_000 }, (_, n) => [`k${n}`, 0]));
    const bodies: [string, string][] = [
      ['60,000 unknown properties', JSON.stringify({ ...unknown, message: { title: 'x' }, destinations: ['healthy'] })],
      ['60,000 wrong destinations', JSON.stringify({ message: { title: 'x' }, destinations: Array(60_000).fill(1) })],
      ['60,000 wrong fields', JSON.stringify({ message: { title: 'x', fields: Array(60_000).fill({ n: 1 }) } })],
      ['deep arrays', '['.repeat(900_000)],
      ['deep objects', '{"a":'.repeat(180_000)],
      ['a long number', `{"message":${'9'.repeat(900_000)}}`],
      ['too large', JSON.stringify({ message: { title: 'x', body: 'x'.repeat(8_000_000) } })],
    ];
    let largest = 0;
    const wrong: string[] = [];
    for (const [what, body] of bodies) {
      for (const path of ['/broadcasts', '/previews']) {
        // A server may stop listening to what is too large, which a client sees as a broken connection.
        const answer = await trial.api('POST', path, body).catch(() => null);
        if (!answer) continue;
        largest = Math.max(largest, answer.bytes);
        if (answer.status < 400 || answer.status >= 500) wrong.push(`${what}: ${answer.status}`);
      }
    }
    trial.check(largest <= 200_000, `the largest answer has ${(largest / 1_000).toFixed(0)} kB`);
    trial.check(wrong.length === 0, wrong.join(', ') || 'each was refused');
    return `${bodies.length} bodies to two routes`;
  },
};

export const bodies: readonly Attack[] = [previews, broadcasts, manyPlaces, flaws];
