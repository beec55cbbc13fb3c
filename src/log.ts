import { type DestinationStream, type Logger, pino } from 'pino';

export type Log = Logger;

const secretNames = ['secret', 'secrets', 'token', 'password', 'apiKey', 'apiToken', 'signingSecret', 'authorization'];

/** What JSON leaves as it is, though it steers a terminal (C1) or turns the text around it (bidi), and line breaks of other scripts. */
const steering = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** A line whose text cannot steer what it is read on; as JSON it says the same. */
function visible(line: string): string {
  return line.replace(steering, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

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
    hooks: { streamWrite: visible },
  };
  return stream ? pino(options, stream) : pino(options);
}
