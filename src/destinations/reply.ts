import type { Dispatcher } from 'undici';

/** So many bytes of what a reply says are kept. */
const keptBytes = 16 * 1024;
/** So many bytes of a reply are read. The connection of a longer one ends. */
const readBytes = 64 * 1024;

/** The reply to a request, from its status on. What it says is read as it comes; a reader has nothing to do for that. */
export interface Reply {
  status: number;
  /** Nothing more comes: it has ended, or its connection has. */
  isOver(): boolean;
  /** Resolves when nothing more comes. */
  over(): Promise<void>;
  /** The beginning of what it said so far, and whether that is all of it. */
  said(): { text: string; whole: boolean };
  /** Ends the connection, unless the reply is over. */
  cut(): void;
}

/**
 * One request on its way, and its reply: what undici tells of them goes to `begun` or `failed`, whichever comes first. Streams and their
 * events would cost more than the request itself.
 */
export class Exchange implements Dispatcher.DispatchHandler, Reply {
  status = 0;
  #controller: Dispatcher.DispatchController | null = null;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #end: 'whole' | 'broken' | null = null;
  #told: (() => void) | null = null;
  readonly #begun: (reply: Reply) => void;
  readonly #failed: (error: unknown) => void;
  readonly #signal: AbortSignal | undefined;

  constructor(begun: (reply: Reply) => void, failed: (error: unknown) => void, signal: AbortSignal | undefined) {
    this.#begun = begun;
    this.#failed = failed;
    this.#signal = signal;
    signal?.addEventListener('abort', this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // It was given up while it waited for a connection.
    if (this.#end || this.#signal?.aborted) this.handleEvent();
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number): void {
    if (status < 200) return;
    this.status = status;
    this.#begun(this);
  }

  onResponseData(_: Dispatcher.DispatchController, piece: Buffer): void {
    if (this.#bytes < keptBytes) this.#pieces.push(piece);
    this.#bytes += piece.length;
    if (this.#bytes > readBytes) this.cut();
  }

  onResponseEnd(): void {
    this.#finish('whole', null);
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#finish('broken', error);
  }

  /** The signal has aborted. */
  handleEvent(): void {
    const reason = this.#signal?.reason;
    this.#controller?.abort(reason);
    this.#finish('broken', reason);
  }

  isOver(): boolean {
    return this.#end !== null;
  }

  over(): Promise<void> {
    if (this.#end) return Promise.resolve();
    return new Promise((resolve) => {
      this.#told = resolve;
    });
  }

  said(): { text: string; whole: boolean } {
    const text = Buffer.concat(this.#pieces).toString('utf8', 0, keptBytes);
    return { text, whole: this.#end === 'whole' && this.#bytes <= keptBytes };
  }

  cut(): void {
    if (!this.#end) this.#controller?.abort(new Error('The reply was not read to its end.'));
  }

  #finish(end: 'whole' | 'broken', error: unknown): void {
    if (this.#end) return;
    this.#end = end;
    this.#signal?.removeEventListener('abort', this);
    if (this.status === 0) this.#failed(error);
    this.#told?.();
  }
}
