import type { Socket } from 'node:net';
import { SMTPServer, type SMTPServerSession } from 'smtp-server';
import type { Fault, Faults } from '../faults.ts';
import type { Recorded, Records } from '../records.ts';
import { append } from '../standin.ts';
import { type Mail, readMail } from './mail.ts';

export interface SmtpView {
  /** What lies in this recipient's mailbox, oldest first. */
  mailbox: (recipient: string) => Mail[];
}

export interface SmtpGround {
  faults: Faults;
  records: Records;
  changed: () => void;
  later: (ms: number, work: () => void) => void;
}

export interface SmtpStandIn {
  server: SMTPServer;
  view: SmtpView;
  state: () => unknown;
  reset: () => void;
  /** Ends every connection, the stalled ones too. */
  cutAll: () => void;
}

/** One recipient accepted in an open transaction, with the fault that waits for the final dot. */
interface Addressee {
  recipient: string;
  fault: Fault | null;
  recorded: Recorded;
}

const HOUR_MS = 3_600_000;

export function createSmtp(ground: SmtpGround): SmtpStandIn {
  const mailboxes = new Map<string, Mail[]>();
  const sockets = new Map<number, Socket>();
  const open = new Map<string, Addressee[]>();

  const server = new SMTPServer({
    // No certificate a client would trust, so none is offered; any login is good unless the password starts with bad.
    disabledCommands: ['STARTTLS'],
    authOptional: true,
    disableReverseLookup: true,
    // Longer than any client waits, so that a stall is always the client's to end.
    socketTimeout: HOUR_MS,
    onAuth: ({ username, password }, _session, done) =>
      password?.startsWith('bad') ? done(reply(535, '5.7.8 Authentication failed')) : done(null, { user: username }),
    onMailFrom(_address, session, done) {
      open.set(session.id, []);
      done();
    },
    onRcptTo({ address }, session, done) {
      const fault = ground.faults.take('smtp', { places: [address], writes: true });
      const asked = { service: 'smtp', place: address, method: 'MAIL', path: address, body: undefined } as const;
      const recorded = ground.records.add({ ...asked, headers: {}, fault: fault?.do ?? null });
      ground.changed();
      if (fault?.do === 'drop') {
        cut(session);
        return;
      }
      const refused =
        refusalOf(fault) ?? (address.startsWith('nobody@') ? reply(550, '5.1.1 No such user here') : null);
      if (refused !== null) {
        recorded.status = refused.responseCode;
        done(refused);
        return;
      }
      append(open, session.id, { recipient: address, fault, recorded });
      done();
    },
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => finish(session, Buffer.concat(chunks).toString('utf8'), done));
    },
  });
  server.on('error', () => {
    // A client that hangs up in the middle is an everyday event here.
  });
  server.server.on('connection', (socket: Socket) => {
    const port = socket.remotePort ?? 0;
    sockets.set(port, socket);
    socket.once('close', () => sockets.delete(port));
  });
  const cut = (session: SMTPServerSession) => sockets.get(session.remotePort)?.destroy();

  // After the final dot: from here on the sender can't know by itself what became of the mail.
  const finish = (session: SMTPServerSession, raw: string, done: (error?: Error | null, said?: string) => void) => {
    const addressees = open.get(session.id) ?? [];
    open.delete(session.id);
    const from = session.envelope.mailFrom ? session.envelope.mailFrom.address : '';
    for (const { recipient, recorded } of addressees) {
      const { headers, text } = readMail(raw, from, recipient);
      Object.assign(recorded, { headers, body: text });
    }
    const apply = () => {
      for (const { recipient } of addressees) {
        const box = recipient.toLowerCase();
        append(mailboxes, box, readMail(raw, from, recipient));
      }
      ground.changed();
    };
    const answer = (status: number, said: string) => {
      for (const { recorded } of addressees) recorded.status = status;
      ground.changed();
      if (status < 400) done(null, said);
      else done(reply(status, said));
    };
    const accept = () => answer(250, '2.0.0 Ok: queued as SANDBOX');
    const fault = addressees.find((each) => each.fault !== null)?.fault;
    switch (fault?.do) {
      case 'stall':
        ground.changed();
        break;
      case 'swallow':
        apply();
        cut(session);
        break;
      case 'swallowStall':
        apply();
        break;
      case 'slow':
        apply();
        ground.later(fault.ms, accept);
        break;
      case 'late':
        cut(session);
        ground.later(fault.ms, apply);
        break;
      case 'failAfterApply':
        apply();
        answer(isSmtpRefusal(fault.status) ? fault.status : 451, 'Local error in processing');
        break;
      case 'garble':
      case 'breakOff':
        apply();
        sockets.get(session.remotePort)?.end(fault.do === 'garble' ? '<html>\r\n' : '25');
        break;
      default:
        apply();
        accept();
    }
  };

  return {
    server,
    view: { mailbox: (recipient) => structuredClone(mailboxes.get(recipient.toLowerCase()) ?? []) },
    state: () => Object.fromEntries(mailboxes),
    reset: () => mailboxes.clear(),
    cutAll() {
      for (const socket of sockets.values()) socket.destroy();
    },
  };
}

/** The faults that answer at RCPT, before anything of the mail has been sent. */
function refusalOf(fault: Fault | null): (Error & { responseCode: number }) | null {
  switch (fault?.do) {
    case 'refuse':
      return reply(isSmtpRefusal(fault.status) ? fault.status : 550, 'Refused');
    case 'rateLimit':
      return reply(451, '4.7.1 Too many messages, try again later');
    case 'error': {
      const status = Number(/^\d{3}/.exec(fault.code)?.[0]);
      return reply(isSmtpRefusal(status) ? status : 550, fault.code.replace(/^\d{3} ?/, '') || 'Refused');
    }
    default:
      return null;
  }
}

function isSmtpRefusal(status: number): boolean {
  return status >= 400 && status < 600;
}

function reply(responseCode: number, message: string): Error & { responseCode: number } {
  return Object.assign(new Error(message), { responseCode });
}
