import { type Check, FaultError } from '../adapter.ts';
import { describe } from '../faults.ts';
import { advised } from '../remedy.ts';
import { recipients } from './recipients.ts';
import { openSession, type Session } from './session.ts';
import type { Reach, Settings } from './settings.ts';

/** Whether the server is there, signs us in, and would take mail for each recipient. Ends before anything is sent. */
export async function check(reach: Reach & { settings: Settings }): Promise<Check[]> {
  let session: Session;
  try {
    session = await openSession(reach);
  } catch (error) {
    return [{ name: 'server', ok: false, detail: withAdvice(error) }];
  }
  const server = {
    name: 'server',
    ok: true,
    detail: 'The mail server was reached and accepted the credentials, if any.',
  };
  try {
    return [server, ...(await recipients(session, reach.settings))];
  } catch (error) {
    // Nothing is known to be wrong: a server may dislike being asked without being sent anything.
    return [server, { name: 'recipients', ok: true, detail: `Not checked: ${describe(error)}` }];
  } finally {
    session.close();
  }
}

export const credentialAdvice =
  'Check user name and password in smtpUrl; many providers want a password made for apps.';

function withAdvice(error: unknown): string {
  const said = error instanceof FaultError ? error.fault.message : describe(error);
  const { code } = (error ?? {}) as { code?: string };
  if (code === 'EAUTH') return advised(said, credentialAdvice);
  if (code === 'ETLS') {
    return advised(said, 'The password is only sent over TLS: use smtps://, or a server that offers STARTTLS.');
  }
  return advised(said, 'Check host and port in smtpUrl, and that this machine may connect there.');
}
