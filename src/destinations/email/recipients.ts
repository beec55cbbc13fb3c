import type { Check } from '../adapter.ts';
import type { Session } from './session.ts';
import { addressOf, type Settings } from './settings.ts';

/** No list is longer at once: servers take many refused recipients for an attack. */
const recipientsAtMost = 10;

/** Asks the mail server whether it would take a mail from this sender for these recipients, and ends before any mail. */
export async function recipients(session: Session, { from, to }: Settings): Promise<Check[]> {
  const sender = addressOf(from);
  const mail = await session.say(`MAIL FROM:<${sender}>`);
  if (!isTaken(mail.code)) {
    const advice = 'Use an address in "from" that this account may send as.';
    return [
      { name: 'sender', ok: false, detail: `The server refuses ${sender} (${mail.code} ${mail.text}). ${advice}` },
    ];
  }
  const checks: Check[] = [{ name: 'sender', ok: true, detail: `The server takes mail from ${sender}.` }];
  for (const recipient of to.slice(0, recipientsAtMost).map(addressOf)) {
    const { code, text } = await session.say(`RCPT TO:<${recipient}>`);
    const ok = isTaken(code);
    const advice =
      code < 500
        ? 'Try again in a few minutes; some servers put strangers off at first.'
        : 'Correct the address in "to", or let the account relay to it.';
    const refused = `The server refuses it (${code} ${text}). ${advice}`;
    checks.push({ name: `recipient ${recipient}`, ok, detail: ok ? 'Would be taken.' : refused });
  }
  await session.say('RSET');
  return checks;
}

/** https://www.rfc-editor.org/rfc/rfc5321#section-4.2.1 */
function isTaken(code: number): boolean {
  return code >= 200 && code < 300;
}
