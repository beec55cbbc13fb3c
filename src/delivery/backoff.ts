/** No service may park a delivery for longer than this with one Retry-After: one hour. */
const longestRetryAfterMs = 3_600_000;
/** However little a service asks for, nobody returns sooner: a second, and where refusals go on, up to a minute. */
const shortestRetryAfterMs = 1_000;
const longestFloorMs = 60_000;
/** Where a 429 names no time. Slack and Graph both advise to start at thirty seconds. */
const unnamedRetryAfterMs = 30_000;

export interface Backoff {
  baseMs: number;
  maxMs: number;
}

/**
 * Exponential backoff with full jitter, in milliseconds, after the n-th try (n ≥ 1).
 * Full jitter, because what fails together must not come back together:
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backoffMs({ baseMs, maxMs }: Backoff, tries: number, random: () => number): number {
  // 2^30 seconds outlasts any maximum; a larger exponent only risks Infinity.
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(tries - 1, 30));
  return Math.round(random() * ceiling);
}

/**
 * How long to wait after a rate limit, in milliseconds: never sooner than the service asked (up to an hour), and up to a tenth
 * later, so that everyone who was refused at once does not return at once. Never sooner than a second, and than a quarter of
 * `refusedMs`, for how long the refusals have gone on (up to a minute): a service may name no wait, or a time that has passed.
 */
export function rateLimitMs(retryAfterMs: number | null, refusedMs: number, random: () => number): number {
  const least = Math.min(Math.max(refusedMs / 4, shortestRetryAfterMs), longestFloorMs);
  const asked = Math.min(retryAfterMs ?? unnamedRetryAfterMs, longestRetryAfterMs);
  return Math.round(Math.max(asked, least) * (1 + 0.1 * random()));
}
