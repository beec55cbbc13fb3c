import { type DestinationStream, type Logger, pino } from 'pino';

export type Log = Logger;

const secretNames = ['secret', 'secrets', 'token', 'password', 'apiKey', 'apiToken', 'signingSecret', 'authorization'];

/** Structured lines on standard output. Properties that are named like secrets are removed at the first levels of any line. */
export function createLog(level: string, stream?: DestinationStream): Log {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: {
      paths: [
        ...secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
        '*.headers["set-cookie"]',
        '*.headers.cookie',
      ],
      censor: '[redacted]',
    },
  };
  return stream ? pino(options, stream) : pino(options);
}
