import { startHostileMail } from '../hostile.ts';
import { mailAt, make, send } from '../kinds.ts';
import type { Attack } from '../trial.ts';

const endlessLine: Attack = {
  name: 'a mail server whose line never ends',
  async run(trial) {
    const piece = 'x'.repeat(1_000_000);
    let pieces = 0;
    const server = await startHostileMail((line, socket) => {
      if (!/^(MAIL|RCPT)/i.test(line)) return null;
      socket.write('250-');
      const pour = () => {
        // 600 MB at the most: the longest text that the platform can hold has 512.
        while (!socket.destroyed && pieces < 600) {
          pieces += 1;
          if (!socket.write(piece)) return void socket.once('drain', pour);
        }
      };
      pour();
      return undefined;
    });
    trial.later(() => server.close());
    await make(trial, { 'mail-line': mailAt(server.port, '127.0.0.1', false) });
    const asked = await trial.api('POST', '/destinations/mail-line/test', {}, { timeoutMs: 30_000 });
    trial.check(asked.status < 500, `the test was answered ${asked.status} after ${(asked.ms / 1_000).toFixed(1)} s`);
    await send(trial, ['mail-line']);
    await trial.wait(2_000);
    return `a test and a mail; ${pieces} MB were taken`;
  },
};

const stripped: Attack = {
  name: 'a mail server without TLS',
  needsNames: true,
  async run(trial) {
    const server = await startHostileMail(() => null);
    trial.later(() => server.close());
    await make(trial, { 'mail-clear': mailAt(server.port, 'mail.lab.example') });
    await trial.api('POST', '/destinations/mail-clear/test', {}, { timeoutMs: 30_000 });
    await send(trial, ['mail-clear']);
    await trial.wait(3_000);
    const logins = server.lines.filter((line) => /^AUTH/i.test(line)).length;
    trial.check(server.lines.length > 0, `it was spoken to in ${server.lines.length} lines`);
    trial.check(logins === 0, `the password was sent in clear ${logins} times`);
    return 'a test and a mail with a password, to a server that offers no encryption';
  },
};

export const mail: readonly Attack[] = [endlessLine, stripped];
