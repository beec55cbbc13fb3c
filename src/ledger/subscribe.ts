import pg from 'pg';

/** How long to wait before connecting again, in milliseconds. Whoever subscribes also polls, so nothing depends on it. */
const reconnectMs = 500;

export interface Subscription {
  close(): Promise<void>;
}

/**
 * Listens on PostgreSQL channels over one connection of its own, and connects again whenever that is lost. Notifications sent
 * meanwhile are lost too: they are hints, and `onMissed` says when some may have been.
 */
export function subscribe(
  url: string,
  channels: Record<string, (payload: string) => void>,
  onMissed: () => void = () => {},
): Subscription {
  let client: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const connect = async (): Promise<void> => {
    const fresh = new pg.Client({ connectionString: url, application_name: 'tocsin-listen', keepAlive: true });
    client = fresh;
    fresh.on('notification', ({ channel, payload }) => channels[channel]?.(payload ?? ''));
    fresh.on('error', () => {});
    fresh.once('end', () => {
      if (closed || client !== fresh) return;
      timer = setTimeout(connect, reconnectMs);
    });
    try {
      await fresh.connect();
      for (const channel of Object.keys(channels)) await fresh.query(`listen ${pg.escapeIdentifier(channel)}`);
      onMissed();
    } catch {
      await fresh.end().catch(() => {});
      // A connection that was never made does not end.
      if (!closed && client === fresh) {
        clearTimeout(timer);
        timer = setTimeout(connect, reconnectMs);
      }
    }
  };
  void connect();

  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      await client?.end().catch(() => {});
    },
  };
}
