import { setTimeout as delay } from 'node:timers/promises';
import { startHostile, startHostileMail } from './hostile.ts';
import { destinationAt, httpKinds, mailAt, make, send } from './kinds.ts';
import type { Target } from './target.ts';

const patienceMs = 60_000;

/** One message to each kind, which is refused: from then on everything that a kind needs is loaded, and what is measured is the attack. */
export async function warmUp(target: Target): Promise<void> {
  const http = await startHostile((response) => {
    response.writeHead(400, { 'content-type': 'application/json' });
    response.end('{}');
  });
  const mail = await startHostileMail((line) => (/^MAIL/i.test(line) ? '550 no\r\n' : null));
  try {
    const places = Object.fromEntries(httpKinds.map((kind) => [`warm-${kind}`, destinationAt(kind, http.url)]));
    await make(target, { ...places, 'warm-mail': mailAt(mail.port) });
    const message = { body: 'So that **this** is loaded, too.' };
    const id = await send(target, [...Object.keys(places), 'warm-mail'], message);
    const until = performance.now() + patienceMs;
    for (;;) {
      const { body } = await target.api('GET', `/broadcasts/${id}`);
      if (body.state !== 'converging') return;
      if (performance.now() > until) throw new Error(`the first messages did not end: ${body.summary}`);
      await delay(100);
    }
  } finally {
    await http.close();
    await mail.close();
  }
}
