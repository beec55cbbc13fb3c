import { createInterface } from 'node:readline';
import { connect as connectTls } from 'node:tls';
import type { Check } from '../adapter.ts';
import { addressOf, type Reach, type Settings } from './settings.ts';
import { open } from './socket.ts';

/** No list is longer at once: servers take many refused recipients for an attack. */
const recipientsAtMost = 10;

type Asked = Reach & { settings: Settings };
type Socket = Awaited<ReturnType<typeof open>>;

interface Dialogue {
  /** Sends a line, if there is one, and resolves with the server's whole answer. */
  say(line?: string): Promise<{ code: number; text: string }>;
}

function dialogue(socket: Socket): Dialogue {
  const lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]();
  return {
    async say(line) {
      if (line !== undefined) socket.write(`${line}\r\n`);
      const said: string[] = [];
      for (;;) {
        const { value, done } = await lines.next();
        if (done) throw new Error('The mail server hung up.');
        said.push(value.slice(4));
        if (value[3] !== '-') return { code: Number(value.slice(0, 3)), text: said.join('\n') };
      }
    },
  };
}

/**
 * Asks the mail server whether it would take a mail from this sender for these recipients, and leaves before any mail: nodemailer has no
 * way to stop there. Resolves with no findings where it cannot be asked like this, which only sending would tell.
 */
export async function recipients(reach: Asked): Promise<Check[]> {
  const url = new URL(reach.secrets.smtpUrl);
  const isTls = url.protocol === 'smtps:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const plain = await open(reach, host, Number(url.port) || (isTls ? 465 : 587));
  let socket: Socket = plain;
  const stop = () => socket.destroy();
  reach.signal.addEventListener('abort', stop, { once: true });
  plain.on('error', () => {});
  try {
    if (isTls) socket = await secured(plain, host);
    let server = dialogue(socket);
    await server.say();
    let { text: abilities } = await server.say('EHLO tocsin');
    if (!isTls && /^STARTTLS$/im.test(abilities)) {
      if ((await server.say('STARTTLS')).code !== 220) return [];
      socket = await secured(plain, host);
      server = dialogue(socket);
      ({ text: abilities } = await server.say('EHLO tocsin'));
    }
    if (url.username && !(await signedIn(server, abilities, url))) return [];
    return await asked(server, reach.settings);
  } finally {
    reach.signal.removeEventListener('abort', stop);
    socket.destroy();
  }
}

function secured(socket: Socket, host: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const secure = connectTls({ socket, servername: host }, () => resolve(secure));
    secure.once('error', reject);
  });
}

/** The one way of signing in that nearly every server has; others are nodemailer's to try. */
async function signedIn(server: Dialogue, abilities: string, url: URL): Promise<boolean> {
  if (!/^AUTH\b.*\bPLAIN\b/im.test(abilities)) return false;
  const pair = `\0${decodeURIComponent(url.username)}\0${decodeURIComponent(url.password)}`;
  return (await server.say(`AUTH PLAIN ${Buffer.from(pair).toString('base64')}`)).code === 235;
}

async function asked(server: Dialogue, { from, to }: Settings): Promise<Check[]> {
  const sender = addressOf(from);
  const mail = await server.say(`MAIL FROM:<${sender}>`);
  if (mail.code >= 400) {
    const advice = 'Use an address in "from" that this account may send as.';
    return [
      { name: 'sender', ok: false, detail: `The server refuses ${sender} (${mail.code} ${mail.text}). ${advice}` },
    ];
  }
  const checks: Check[] = [{ name: 'sender', ok: true, detail: `The server takes mail from ${sender}.` }];
  for (const recipient of to.slice(0, recipientsAtMost).map(addressOf)) {
    const { code, text } = await server.say(`RCPT TO:<${recipient}>`);
    const advice =
      code < 500
        ? 'Try again in a few minutes; some servers put strangers off at first.'
        : 'Correct the address in "to", or let the account relay to it.';
    const refused = `The server refuses it (${code} ${text}). ${advice}`;
    checks.push({ name: `recipient ${recipient}`, ok: code < 400, detail: code < 400 ? 'Would be taken.' : refused });
  }
  await server.say('RSET');
  return checks;
}
