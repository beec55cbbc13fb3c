import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { bomb } from './bomb.ts';
import type { Fault, Faults } from './faults.ts';
import type { Records } from './records.ts';
import type { Answer, Call, Plan, StandIn } from './standin.ts';

export interface Wire {
  standIns: StandIn[];
  faults: Faults;
  records: Records;
  changed: () => void;
  /** Runs `work` later, unless the sandbox is reset or closed first. */
  later: (ms: number, work: () => void) => void;
  /** Everything that is no stand-in: the page and the controls. */
  elsewhere: (call: Call) => Answer;
}

export function createWire(wire: Wire): Server {
  const server = createServer((request, response) => {
    read(request).then(
      (call) => meet(wire, call, request, response),
      () => request.socket.destroy(),
    );
  });
  // Longer than any client keeps an idle connection: a socket that closes between two tests looks like a fault.
  server.keepAliveTimeout = 120_000;
  return server;
}

function meet(wire: Wire, call: Call, request: IncomingMessage, response: ServerResponse): void {
  const standIn = wire.standIns.find(({ prefix }) => call.path.startsWith(prefix));
  if (standIn === undefined) {
    send(response, wire.elsewhere(call));
    return;
  }

  const inside = call.path.slice(standIn.prefix.length).split('?')[0] ?? '';
  const plan = standIn.plan({ ...call, segments: inside.split('/').filter(Boolean).map(decoded) });
  const fault = wire.faults.take(standIn.service, plan);
  const recorded = wire.records.add({
    service: standIn.service,
    place: plan.places[0] ?? null,
    method: call.method,
    path: call.path,
    headers: call.headers,
    body: call.body,
    fault: fault?.do ?? null,
  });
  const answer = (said: Answer) => {
    if (!response.destroyed) recorded.status = said.status;
    send(response, said);
    wire.changed();
  };
  perform({ wire, standIn, plan, fault, answer, cut: () => request.socket.destroy(), response });
  wire.changed();
}

interface Performance {
  wire: Wire;
  standIn: StandIn;
  plan: Plan;
  fault: Fault | null;
  answer: (said: Answer) => void;
  cut: () => void;
  response: ServerResponse;
}

function perform({ wire, standIn, plan, fault, answer, cut, response }: Performance): void {
  switch (fault?.do) {
    case undefined:
      answer(plan.apply());
      break;
    case 'refuse':
      answer(refused(standIn, fault.status, fault.headers, fault.body));
      break;
    case 'rateLimit':
      answer(withRetryAfter(standIn.limited(fault.reason), fault.retryAfter));
      break;
    case 'error':
      answer(standIn.error(fault.code));
      break;
    case 'drop':
      cut();
      break;
    case 'stall':
      break;
    case 'swallow':
      plan.apply();
      cut();
      break;
    case 'swallowStall':
      plan.apply();
      break;
    case 'slow': {
      const said = plan.apply();
      wire.later(fault.ms, () => answer(said));
      break;
    }
    case 'late':
      cut();
      wire.later(fault.ms, () => {
        plan.apply();
        wire.changed();
      });
      break;
    case 'failAfterApply':
      plan.apply();
      answer(standIn.refusal(fault.status));
      break;
    case 'garble':
      answer(garbled(plan.apply(), fault.body, fault.status));
      break;
    case 'breakOff':
      breakOff(bytes(plan.apply()), response, cut);
      break;
    case 'answer': {
      const { status, headers } = plan.apply();
      answer({ status, headers: { ...headers, ...fault.headers }, body: fault.body });
      break;
    }
    case 'bomb':
      answer(bomb(plan.apply(), fault.encoding, fault.megabytes));
      break;
    case 'drip':
      drip(wire, bytes(plan.apply()), response, fault.everyMs ?? 1_000);
      break;
  }
}

function breakOff(whole: ReturnType<typeof bytes>, response: ServerResponse, cut: () => void): void {
  const half = whole.body.length > 0 ? whole.body.subarray(0, Math.ceil(whole.body.length / 2)) : Buffer.from(' ');
  response.writeHead(whole.status, { ...whole.headers, 'content-length': half.length + 1 });
  // Cut only once the half is on its way, or the reader would see no reply at all instead of a broken one.
  response.write(half, cut);
}

/** The whole reply, and then white space for ever, a byte at a time: it ends with the connection, or with the sandbox. */
function drip(wire: Wire, whole: ReturnType<typeof bytes>, response: ServerResponse, everyMs: number): void {
  response.writeHead(whole.status, whole.headers);
  response.write(whole.body);
  const next = () => {
    if (response.destroyed) return;
    response.write(' ');
    wire.later(everyMs, next);
  };
  next();
}

function refused(standIn: StandIn, status: number, headers?: Record<string, string>, body?: unknown): Answer {
  const said = standIn.refusal(status);
  return { status, headers: { ...said.headers, ...headers }, body: body === undefined ? said.body : body };
}

function withRetryAfter(answer: Answer, retryAfter: number | string | null | undefined): Answer {
  if (retryAfter === null) return answer;
  return { ...answer, headers: { ...answer.headers, 'retry-after': String(retryAfter ?? 1) } };
}

function garbled(answer: Answer, kind: 'html' | 'truncated' | 'empty' | 'text', status?: number): Answer {
  const success = status ?? (answer.status < 300 && answer.status !== 204 ? answer.status : 200);
  const json = { ...answer.headers, 'content-type': 'application/json; charset=utf-8' };
  switch (kind) {
    case 'html':
      return {
        status: success,
        headers: { 'content-type': 'text/html; charset=utf-8' },
        body: '<!doctype html><html><body><h1>Please sign in to the network</h1></body></html>',
      };
    case 'text':
      return { status: success, headers: { 'content-type': 'text/plain; charset=utf-8' }, body: 'OK' };
    case 'empty':
      return { status: success, headers: json, body: '' };
    case 'truncated': {
      const whole = bytes(answer).body.toString();
      return { status: success, headers: json, body: whole.slice(0, Math.ceil(whole.length / 2)) || '{"ok":tr' };
    }
  }
}

function bytes({ status, headers, body }: Answer): { status: number; headers: Record<string, string>; body: Buffer } {
  if (body === undefined) return { status, headers: { ...headers }, body: Buffer.alloc(0) };
  if (Buffer.isBuffer(body)) return { status, headers: { ...headers }, body };
  if (typeof body === 'string') {
    return { status, headers: { 'content-type': 'text/plain; charset=utf-8', ...headers }, body: Buffer.from(body) };
  }
  const sent = { 'content-type': 'application/json; charset=utf-8', ...headers };
  return { status, headers: sent, body: Buffer.from(JSON.stringify(body)) };
}

function send(response: ServerResponse, answer: Answer): void {
  const { status, headers, body } = bytes(answer);
  response.writeHead(status, status === 204 ? headers : { ...headers, 'content-length': body.length });
  response.end(status === 204 ? undefined : body);
}

async function read(request: IncomingMessage): Promise<Call> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const raw = Buffer.concat(chunks);
  const path = request.url ?? '/';
  const query = new URLSearchParams(path.split('?').slice(1).join('?'));
  const body = parsed(raw.toString('utf8'), request.headers['content-type'] ?? '');
  return { method: request.method ?? 'GET', path, segments: [], query, headers: request.headers, raw, body };
}

function parsed(raw: string, type: string): unknown {
  if (raw === '') return undefined;
  if (type.startsWith('application/x-www-form-urlencoded')) return Object.fromEntries(new URLSearchParams(raw));
  try {
    return JSON.parse(raw);
  } catch {
    return raw;
  }
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
