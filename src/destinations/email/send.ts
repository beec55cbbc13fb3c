import nodemailer, { type SMTPTransportOptions, type Transporter } from 'nodemailer';
import { FaultError } from '../adapter.ts';
import type { EmailPayload } from './render.ts';
import { addressOf, type EmailCall, type Reach, type Receipt } from './settings.ts';
import { open } from './socket.ts';
import { wayTo } from './way.ts';

/** One connection for one mail: what a pool may repeat by itself is out of our sight. */
function transport(reach: Reach): Transporter {
  const { options, auth } = wayTo(reach.secrets.smtpUrl);
  const all: SMTPTransportOptions = {
    ...options,
    ...(auth && { auth }),
    disableFileAccess: true,
    disableUrlAccess: true,
    getSocket: (_options, callback) => {
      reach.wire.requests += 1;
      open(reach, options.host, options.port).then(
        (connection) => callback(null, { connection }),
        (error) => callback(error),
      );
    },
  };
  return nodemailer.createTransport(all);
}

export interface Thread {
  /** The mails before this one, the oldest first. */
  references: string[];
  prefix: string;
}

/**
 * Sends one mail to all recipients. Until its last byte is handed over nothing has been sent that a server may keep: it takes
 * responsibility only after the final dot (https://www.rfc-editor.org/rfc/rfc5321#section-6.1).
 */
export async function send(call: EmailCall, payload: EmailPayload, { references, prefix }: Thread): Promise<Receipt> {
  const { settings, key, revision, wire, signal } = call;
  const transporter = transport(call);
  transporter.use('stream', (mail, done) => {
    const { message } = mail;
    const read = message.createReadStream.bind(message);
    // Read only after the server said to go on; its end comes before the dot that follows it.
    message.createReadStream = (options) => read(options).once('end', () => (wire.sent = 'body'));
    done();
  });
  const messageId = messageIdOf(settings.from, key, revision);
  try {
    const { accepted = [], rejected = [] } = await transporter.sendMail({
      ...payload,
      subject: literal(`${prefix}${payload.subject}`),
      messageId,
      ...(references.length > 0 ? { inReplyTo: references.at(-1), references } : {}),
      headers: { 'X-Tocsin-Delivery': key, 'Auto-Submitted': 'auto-generated' },
      signal,
    });
    if (accepted.length === 0) throw nobody();
    const refused = rejected.map(String);
    const at = new Date().toISOString();
    return { at, url: null, messageId, ...(refused.length > 0 ? { rejected: refused } : {}) };
  } finally {
    transporter.close();
  }
}

/** Bytes of text in one encoded word, which may have 75 characters (https://www.rfc-editor.org/rfc/rfc2047#section-2). */
const wordBytes = 45;

/** A subject that would be taken for encoded words is encoded itself, so that mail programs show the words that were meant. */
function literal(subject: string): string {
  if (!subject.includes('=?')) return subject;
  const words: string[] = [];
  let word = '';
  for (const character of subject) {
    if (Buffer.byteLength(word + character) > wordBytes) {
      words.push(word);
      word = '';
    }
    word += character;
  }
  return [...words, word].map((each) => `=?UTF-8?B?${Buffer.from(each).toString('base64')}?=`).join(' ');
}

/** The same on every attempt: some mailboxes merge copies that bear the same one. */
function messageIdOf(from: string, key: string, revision: number): string {
  return `<${key}.${revision}@${addressOf(from)?.split('@').at(-1) ?? 'localhost'}>`;
}

function nobody(): FaultError {
  const message = 'The mail server refused every recipient.';
  return new FaultError({ class: 'permanent', reason: 'no_recipient', message, status: null, retryAfterMs: null });
}
