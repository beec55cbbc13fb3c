import pg from 'pg';
import { keepAliveInitialDelayMillis, sessionLimits } from '../session-limits.ts';

/** How long to wait before connecting again, in milliseconds. Subscribers also poll, so nothing depends on it. */
const reconnectMs = 500;
/** How often the connection is asked whether it still lives, in milliseconds: one that listens is silent otherwise, however dead. */
const everyMs = 15_000;
/** How long it may take to answer, in milliseconds. */
const answerMs = 10_000;
/**
 * A listener that stands still would fill PostgreSQL's one queue of notifications, and then nobody could notify any more. One that
 * asks nothing for so long is ended by the server.
 */
const frozenAfter = '60s';

export interface Subscription {
  close(): Promise<void>;
}

/**
 * Listens on PostgreSQL channels over one connection of its own, and connects again whenever that is lost, also silently.
 * Notifications sent meanwhile are lost too: they are hints, and `onMissed` says when some may have been.
 */
export function subscribe(
  url: string,
  channels: Record<string, (payload: string) => void>,
  onMissed: () => void = () => {},
  beat = { everyMs, answerMs },
): Subscription {
  let client: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const connect = async (): Promise<void> => {
    const fresh = new pg.Client({
      connectionString: url,
      application_name: 'tocsin-listen',
      keepAlive: true,
      keepAliveInitialDelayMillis,
      connectionTimeoutMillis: beat.answerMs,
      query_timeout: beat.answerMs,
      options: `${sessionLimits} -c idle_session_timeout=${frozenAfter}`,
    });
    client = fresh;
    fresh.on('notification', ({ channel, payload }) => channels[channel]?.(payload ?? ''));
    fresh.on('error', () => {});
    fresh.once('end', () => again(fresh));
    try {
      await fresh.connect();
      for (const channel of Object.keys(channels)) await fresh.query(`listen ${pg.escapeIdentifier(channel)}`);
      onMissed();
      while (!closed && client === fresh) {
        await rest(beat.everyMs);
        if (!closed) await fresh.query('select');
      }
    } catch {
      await fresh.end().catch(() => {});
      // A connection that was never made does not end.
      again(fresh);
    }
  };

  function again(lost: pg.Client): void {
    if (closed || client !== lost) return;
    client = undefined;
    clearTimeout(timer);
    timer = setTimeout(connect, reconnectMs);
  }

  function rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      timer = setTimeout(resolve, ms).unref();
    });
  }

  void connect();

  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      await client?.end().catch(() => {});
    },
  };
}
