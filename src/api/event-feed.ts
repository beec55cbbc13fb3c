import { type Change, readChanges } from '../ledger/read-changes.ts';
import { representDelivery } from '../ledger/represent.ts';
import { representDestination } from './destination-view.ts';
import type { Parts } from './parts.ts';
import { represented } from './routes/broadcasts.ts';

/** How often those who follow look for themselves, in milliseconds: not every change is notified, and notifications get lost. */
const pollMs = 1_000;
/** They look no more often, in milliseconds, however many notifications come: under load there are hundreds a second. */
const gapMs = 100;
/** Answers kept for others at most: those who are behind, each somewhere else, would otherwise fill the memory between two looks. */
const sharedAtMost = 20;

/** One event as it goes over the line, and which destinations it is about. */
export interface Told {
  text: string;
  destinations: readonly string[];
}

export interface Page {
  events: Told[];
  /** Where to go on. */
  next: string;
  more: boolean;
  heldBack: boolean;
}

export interface Follower {
  /** Resolves when there may be something new, at the latest after a second, and when it does not follow any more. */
  news(): Promise<void>;
  /** Lets `news` come soon: something is known to be on its way. */
  expect(): void;
}

export interface Feed {
  /** Follows one broadcast, or with null everything, until `signal` aborts. Nobody follows: nothing is asked of the database. */
  follow(broadcast: string | null, signal: AbortSignal): Follower;
  /** What changed behind a position. Null when the database does not know the position. */
  read(position: string, broadcast: string | null): Promise<Page | null>;
}

/** What changes, for any number of followers: they are woken together, and those who are as far as each other share one reading. */
export function createFeed({ db, vault, convergence, log }: Pick<Parts, 'db' | 'vault' | 'convergence' | 'log'>): Feed {
  interface Following {
    broadcast: string | null;
    hinted: boolean;
    woken: boolean;
    wake(): void;
  }
  const followers = new Set<Following>();
  const shared = new Map<string, Promise<Page | null>>();
  let poll: NodeJS.Timeout | undefined;
  let due: NodeJS.Timeout | undefined;
  let lastLook = 0;
  let deafen = () => {};

  function hint(which: (follower: Following) => boolean): void {
    let any = false;
    for (const follower of followers) {
      if (!which(follower)) continue;
      follower.hinted = true;
      any = true;
    }
    if (any) due ??= setTimeout(look, Math.max(0, lastLook + gapMs - performance.now()));
  }

  function look(): void {
    due = undefined;
    lastLook = performance.now();
    // What is read from here on has seen what was hinted at before.
    shared.clear();
    for (const follower of followers) {
      if (!follower.hinted) continue;
      follower.hinted = false;
      follower.woken = true;
      follower.wake();
    }
  }

  async function readPage(position: string, broadcast: string | null): Promise<Page | null> {
    const found = await readChanges(db, position, { broadcast });
    return found && { ...found, events: found.changes.flatMap(toldOrLeftOut) };
  }

  /** One event that cannot be shown is left out. It would otherwise end every stream at the same place, for ever. */
  function toldOrLeftOut(change: Change): Told[] {
    try {
      return [told(change)];
    } catch (error) {
      log.error({ err: error, what: change.is, position: change.position }, 'an event cannot be shown and is left out');
      return [];
    }
  }

  function told(change: Change): Told {
    switch (change.is) {
      case 'delivery': {
        const { delivery } = change;
        const text = eventText('delivery.updated', representDelivery(delivery), change.position);
        return { text, destinations: [delivery.destination] };
      }
      case 'broadcast': {
        const text = eventText('broadcast.updated', represented(change.broadcast), change.position);
        return { text, destinations: change.broadcast.deliveries.map(({ destination }) => destination) };
      }
      case 'destination': {
        const { destination } = change;
        const text = eventText('destination.updated', representDestination(destination, vault), change.position);
        return { text, destinations: [destination.name] };
      }
    }
  }

  return {
    follow(broadcast, signal) {
      const me: Following = { broadcast, hinted: false, woken: false, wake: () => {} };
      const news = async () => {
        if (!me.woken && !signal.aborted) await new Promise<void>((resolve) => Object.assign(me, { wake: resolve }));
        me.woken = false;
      };
      const follower = { news, expect: () => hint((each) => each === me) };
      if (signal.aborted) return follower;
      if (followers.size === 0) {
        poll = setInterval(() => hint(() => true), pollMs);
        // A hint without a broadcast is as frequent as broadcasts are: those who follow a single one leave it to the poll.
        deafen = convergence.onHint((id) => hint((each) => each.broadcast === null || each.broadcast === id));
      }
      followers.add(me);
      const leave = () => {
        me.wake();
        followers.delete(me);
        if (followers.size > 0) return;
        clearInterval(poll);
        clearTimeout(due);
        due = undefined;
        shared.clear();
        deafen();
      };
      signal.addEventListener('abort', leave, { once: true });
      return follower;
    },

    read(position, broadcast) {
      if (broadcast !== null) return readPage(position, broadcast);
      const begun = shared.get(position);
      if (begun) return begun;
      const page = readPage(position, null);
      if (shared.size < sharedAtMost) shared.set(position, page);
      return page;
    },
  };
}

/** An event as the line wants it (https://html.spec.whatwg.org/multipage/server-sent-events.html). JSON has no line breaks in it. */
export function eventText(event: string, data: unknown, position?: string): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n${position ? `id: ${position}\n` : ''}\n`;
}
