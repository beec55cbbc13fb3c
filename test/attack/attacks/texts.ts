import type { Heard } from '../hostile.ts';
import { startHostileMail } from '../hostile.ts';
import { destinationAt, disguises, type HttpKind, httpKinds, mailAt, make, send } from '../kinds.ts';
import type { Attack, Trial } from '../trial.ts';

/** Texts that take quadratic time where a pattern begins anew at every word, and what no database can hold. */
const shapes: Record<string, (bytes: number) => string> = {
  dotted: (bytes) => 'a.'.repeat(bytes / 2),
  schemes: (bytes) => 'a://'.repeat(bytes / 4),
  tokens: (bytes) => 'xoxb-'.repeat(bytes / 5),
  bearers: (bytes) => 'Bearer '.repeat(bytes / 7),
  pairs: (bytes) => 'password='.repeat(bytes / 9),
  spaces: (bytes) => ' '.repeat(bytes),
  nul: (bytes) => 'no\0'.repeat(bytes / 3),
  surrogates: (bytes) => '\ud800'.repeat(bytes / 3),
};
/** Growing, so that the smallest that holds the loop shows; the last is as much as is read of any reply. */
const sizes = [64_000, 500_000, 3_900_000];

/** All shapes in each size, three messages at once: (name, text) in the order in which a service answers them. */
const texts = sizes.flatMap((bytes) =>
  Object.entries(shapes).map(([name, make]) => [`${name} ${bytes}`, make(bytes)] as const),
);

/** As each service words an error, so that the text gets as far as it can. */
function errorOf(kind: HttpKind, text: string): string {
  switch (kind) {
    case 'slack':
      return JSON.stringify({ ok: false, error: 'invalid_blocks', response_metadata: { messages: [text] } });
    case 'teams':
    case 'teams-workflow':
      return JSON.stringify({ error: { code: 'BadRequest', message: text } });
    case 'jira':
      return JSON.stringify({ errorMessages: [text], errors: {} });
    case 'pagerduty':
      return JSON.stringify({ status: 'invalid event', message: text, errors: [text] });
    case 'webhook':
      return text;
  }
}

/** What was sent, given back in clear: the headers, and the parts of a Basic login. */
function echo({ headers, body }: Heard): string {
  const { authorization = '' } = headers;
  const login = /^Basic (.+)$/.exec(authorization)?.[1] ?? '';
  return `you said ${authorization} ${Buffer.from(login, 'base64')} ${/"routing_key":"([^"]+)"/.exec(body)?.[1] ?? ''} `;
}

async function untilAllEnded(trial: Trial, name: string, count: number): Promise<void> {
  const { settled, check } = trial;
  const ids: string[] = [];
  for (let n = 0; n < count; n += 3) {
    const some = await Promise.all([0, 1, 2].map(() => send(trial, [name])));
    ids.push(...some);
    const ended = await Promise.all(some.map((id) => settled(id, 15_000)));
    const open = ended.flat().filter(({ state }) => !['dead', 'unknown', 'confirmed'].includes(state));
    if (open.length > 0) return check(false, `after ${n} texts a delivery is still ${open[0]?.state}`);
  }
  const last = await trial.settled(ids.at(-1) ?? '', 0);
  const longest = last[0]?.lastError?.message.length ?? 0;
  check(longest <= 1_000, `an error is shown with ${longest} characters`);
}

function errorText(kind: HttpKind): Attack {
  return {
    name: `error texts from ${kind}`,
    async run(trial) {
      for (const secret of disguises) trial.target.hide(secret);
      const answers = texts.map(
        ([, text]) =>
          (heard: Heard) =>
            errorOf(kind, echo(heard) + text),
      );
      const { url } = await trial.hostile((response, heard, n) => {
        // Slack says what went wrong under status 200.
        response.writeHead(kind === 'slack' ? 200 : 400, { 'content-type': 'application/json' });
        response.end(answers[n % answers.length]?.(heard));
      });
      const name = `texts-${kind}`;
      await make(trial, { [name]: destinationAt(kind, url, { rateLimit: { max: 100, perMs: 1_000 } }) });
      await untilAllEnded(trial, name, texts.length);
      return `${texts.length} errors of ${sizes.join(', ')} bytes, with its credential in them`;
    },
  };
}

const mailText: Attack = {
  name: 'error texts from a mail server',
  async run(trial) {
    for (const secret of disguises) trial.target.hide(secret);
    let n = 0;
    const server = await startHostileMail((line) => {
      if (!/^AUTH/i.test(line)) return null;
      const [, text = ''] = texts[n++ % texts.length] ?? [];
      return `535 5.7.8 you said ${line} ${text.slice(0, 1_000_000).replace(/[\r\n]/g, '')}\r\n`;
    });
    trial.later(() => server.close());
    // A refused login pauses the place, which is right; so each text has a place of its own.
    const count = 12;
    const names = Array.from({ length: count }, (_, each) => `texts-mail-${each}`);
    await make(trial, Object.fromEntries(names.map((name) => [name, mailAt(server.port)])));
    for (const name of names) await send(trial, [name]);
    await trial.wait(15_000, () => n >= count);
    trial.check(n >= count, `${n} of ${count} logins were refused`);
    await trial.wait(1_000);
    await trial.api('GET', '/deliveries?limit=200');
    return `${count} refused logins that quote the password, with up to 1 MB behind it`;
  },
};

const binaryPage: Attack = {
  name: 'an error page with NUL bytes',
  async run(trial) {
    const page = Buffer.concat([Buffer.from([0, 1, 2, 0, 0xff, 0]), Buffer.from('no\ud800 such thing\0')]);
    const { url, heard } = await trial.hostile((response, { path }) => {
      response.writeHead(path.includes('closed') ? 401 : 400, { 'content-type': 'text/html' });
      response.end(page);
    });
    const callback = await trial.hostile((response) => void response.end('ok'));
    const policy = { maxAttempts: 5 };
    await make(trial, {
      'page-400': { kind: 'webhook', policy, settings: { url: `${url}/open` }, secrets: {} },
      'page-401': { kind: 'webhook', policy, settings: { url: `${url}/closed` }, secrets: {} },
    });
    const more = { callback: { url: callback.url, secret: `whsec_${Buffer.alloc(32, 1).toString('base64')}` } };
    const dead = await send(trial, ['page-400'], {}, more);
    await send(trial, ['page-401'], {}, more);
    const [delivery] = await trial.settled(dead, 12_000);
    const posts = heard.filter(({ path }) => path === '/open').length;
    trial.check(posts === 1, `400 with NUL: ${posts} posts, ${delivery?.state} ${delivery?.lastError?.reason}`);
    trial.check(
      delivery?.state === 'dead' && delivery.lastError?.reason !== 'process_lost',
      'ended for what it was told',
    );
    const { body } = await trial.api('GET', '/destinations/page-401');
    trial.check(Boolean(body.paused), `401 with NUL: the place is ${body.paused ? '' : 'not '}paused`);
    await trial.wait(5_000, () => callback.heard.length >= 2);
    trial.check(callback.heard.length >= 2, `${callback.heard.length} callbacks told of it`);
    return 'two receivers answer 400 and 401 with binary pages';
  },
};

export const errorTexts: readonly Attack[] = [...httpKinds.map(errorText), mailText, binaryPage];
