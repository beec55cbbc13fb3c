/**
 * Limits of a PostgreSQL session, in `options` form. A process that stands still within a transaction, or whose machine vanished,
 * would otherwise keep its row locks for hours, and everybody who needs one of those rows would wait as long.
 *
 * - A session that does nothing within a transaction is ended after ten seconds.
 * - A client that does not answer keepalives is given up after thirty seconds, one that reads nothing of its answer likewise.
 */
export const sessionLimits = [
  'idle_in_transaction_session_timeout=10s',
  'tcp_keepalives_idle=15',
  'tcp_keepalives_interval=5',
  'tcp_keepalives_count=3',
  'tcp_user_timeout=30s',
]
  .map((limit) => `-c ${limit}`)
  .join(' ');

/** The same from our side: how long a connection is silent, in milliseconds, before it is asked whether it still lives. */
export const keepAliveInitialDelayMillis = 10_000;
