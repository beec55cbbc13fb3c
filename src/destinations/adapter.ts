import type { Root } from 'mdast';
import type { z } from 'zod';
import type { Action, Fault, Receipt } from '../delivery/outcome.ts';
import type { Message } from '../message.ts';
import type { Network } from './network.ts';
import type { Wire } from './wire.ts';

/** Everything a rendering may depend on. */
export interface Notice {
  message: Message;
  /** The delivery's id: goes into the message as its mark, so that it can be found again. */
  key: string;
  revision: number;
  /** True for the last revision, which says nothing: strike the text where the service cannot delete it. */
  retracted: boolean;
  broadcastId: string;
  topic: string | null;
  correlationId: string;
  metadata: Record<string, string>;
  createdAt: Date;
  /** Where the broadcast's other copies are, when they are known and were asked for. */
  crossLinks: readonly { text: string; url: string }[];
  /** For callbacks only: the event to hand over, instead of the message. */
  event?: { type: string; timestamp: string; revision?: number; deliveryId?: string; data: unknown };
}

/**
 * What of a destination's configuration decides where a lost message is looked for, and as whom. Stored in clear with each send, so that
 * nothing secret may be in it.
 */
export type Place = Record<string, string>;

/** What is said, the same at every destination and at every attempt. */
export type Said = Pick<Notice, 'message' | 'retracted' | 'crossLinks'>;

/** One call of an adapter: one attempt at one delivery. Exactly one request may leave the machine for it. */
export interface Call<Settings, Secrets, R extends Receipt> {
  settings: Settings;
  secrets: Secrets;
  /** The delivery's id. The same on every attempt. */
  key: string;
  revision: number;
  /** What finds the delivery's message, or null while none is known. */
  receipt: R | null;
  /** The receipt of the topic's first message at this destination, or null when this is the first, or there is no topic. */
  root: R | null;
  /** When the earliest attempt that may have landed began: how far back `verify` has to look. */
  since: Date;
  /** When this attempt began. Like `since` it is the ledger's time: the clock of this machine may be wrong. */
  startedAt: Date;
  /** Where the send that is looked for went, which may be another place than is configured by now. Null: it is not known. */
  place: Place | null;
  /** Guarded against private addresses, never follows redirects, and aborts with `signal`. */
  fetch: typeof globalThis.fetch;
  /** The same door without fetch's ceremony, for what needs no SDK. Aborts with `signal` too. */
  request: Network['request'];
  /** For transports other than HTTP: the guarded way to an address. */
  resolve: Network['assertPublic'];
  /** What left the machine so far. Transports other than HTTP mark it themselves. */
  wire: Wire;
  signal: AbortSignal;
}

export type Look<R extends Receipt> =
  | { seen: 'landed'; receipt: R; revision: number }
  | { seen: 'absent' }
  | { seen: 'unclear'; why: string };

export interface Verification<Settings, Secrets, R extends Receipt> {
  /** Seconds after the ambiguous attempt at which to look. The last one is the horizon: absent there means absent. */
  scheduleSeconds: readonly [number, ...number[]];
  /** One look. Read-only requests; may need more than one of them. */
  look(call: Call<Settings, Secrets, R>): Promise<Look<R>>;
}

/** One finding of a preflight: what was checked, whether it holds, and what to do when it does not. */
export interface Check {
  name: string;
  ok: boolean;
  detail: string;
}

/**
 * A kind: a service that Tocsin can speak to. An optional method's presence is the ability; its absence is an ordinary answer.
 * `deliver`, `reply`, `revise` and `retract` resolve with a receipt, or throw: a `FaultError` when the adapter knows what it
 * means, else whatever the SDK threw, which `classify` and then the shared fault table judge.
 */
// biome-ignore lint/suspicious/noExplicitAny: the registry holds kinds whose types differ; each is checked where it is defined
export interface Adapter<Settings = any, Secrets = any, R extends Receipt = any, Payload = any, Content = any> {
  kind: string;
  settings: z.ZodType<Settings>;
  secrets: z.ZodType<Secrets>;
  receipt: z.ZodType<R>;
  /** Actions whose repetition under the same key changes nothing at the service, so that ambiguity is cured by repeating. */
  repeatable: readonly Exclude<Action, 'verify'>[];
  /**
   * What is said, in the service's form: the long part of rendering. Pure, and its result is plain JSON. Trims to the service's limits
   * with a visible mark; never fails for being too long. It is done once for all destinations of the kind, and in a thread where it may
   * take long, which imports it by its name from `<kind>/render.ts`. `body` is the message's body as a tree, which must not be changed.
   */
  compose?(said: Said, body: Root): Content;
  /**
   * Adds to the content what differs by delivery: where it goes, its mark, its imprint. Pure, and short, since it is done at every
   * attempt. Its result is what is sent: previews show this very payload. Only what is secret, and what only the moment knows (the
   * thread, the message to edit), is added later.
   */
  render(notice: Notice, settings: Settings, content: Content): Payload;
  deliver(call: Call<Settings, Secrets, R>, payload: Payload): Promise<R>;
  /** Like deliver, but under the topic's first message (`call.root` is set). Throws `rootGone` where that is not there any more. */
  reply?(call: Call<Settings, Secrets, R> & { root: R }, payload: Payload): Promise<R>;
  verify?: Verification<Settings, Secrets, R>;
  /** Makes the message say `payload`: edited in place, or a follow-up marked as such where the service cannot edit. */
  revise?(call: Call<Settings, Secrets, R> & { receipt: R }, payload: Payload): Promise<R>;
  /** Deletes the message, or strikes it (`payload` is rendered with `retracted`). Already gone is success. */
  retract?(call: Call<Settings, Secrets, R> & { receipt: R }, payload: Payload): Promise<R>;
  /** Loads what only this kind needs, before an attempt's clock starts; whoever never speaks to the service never pays for it. */
  load?(): Promise<unknown>;
  /** Credentials and permissions, without sending anything. */
  check?(
    call: Omit<Call<Settings, Secrets, R>, 'receipt' | 'root' | 'since' | 'startedAt' | 'place' | 'key' | 'revision'>,
  ): Promise<Check[]>;
  /** Where the credential is found, and what makes it valid: told with a test that the service refused for its sake. */
  credentialAdvice?: string;
  /** Only what the shared table cannot know: the vendor's codes. Undefined: the table decides. */
  classify?(error: unknown, wire: Wire): Fault | undefined;
  /** For kinds that can look. */
  place?(settings: Settings, secrets: Secrets): Place;
  /** Names the rate limit that this destination spends from; destinations with the same budget wait together. Hashed before use. */
  budget?(settings: Settings, secrets: Secrets): string;
}

export function defineAdapter<Settings, Secrets, R extends Receipt, Payload, Content = undefined>(
  adapter: Adapter<Settings, Secrets, R, Payload, Content>,
): Adapter<Settings, Secrets, R, Payload, Content> {
  return adapter;
}

/** A fault that an adapter recognised by itself. */
export class FaultError extends Error {
  readonly fault: Fault;
  constructor(fault: Fault, options?: ErrorOptions) {
    super(fault.message, options);
    this.name = 'FaultError';
    this.fault = fault;
  }
}

/** The topic's first message is gone, and nothing was said: the delivery is tried again by itself, and what follows goes under it. */
export function rootGone(message: string, status: number | null): FaultError {
  return new FaultError({
    class: 'permanent',
    reason: 'thread_gone',
    message,
    status,
    retryAfterMs: null,
    rootGone: true,
  });
}
