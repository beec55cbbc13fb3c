/**
 * The wait that a `Retry-After` header asks for, in milliseconds: whole or fractional seconds, or an HTTP date
 * (RFC 9110, 10.2.3). Null where there is none or it makes no sense; a date that has passed asks for no wait at all.
 */
export function retryAfterMs(header: string | null | undefined, now: number = Date.now()): number | null {
  const value = header?.trim();
  if (!value) return null;
  if (/^\d{1,9}(\.\d+)?$/.test(value)) return Math.ceil(Number(value) * 1000);
  // Only what looks like a date: Date.parse makes a year of "-5" and of much else.
  if (!/^[A-Za-z]{3,9},? /.test(value)) return null;
  const at = Date.parse(value);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}
