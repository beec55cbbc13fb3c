import { randomFillSync } from 'node:crypto';

export type IdPrefix = 'bc' | 'dl' | 'key' | 'req';

/** Crockford's base 32. The first ten digits of an id are its time in milliseconds, the last twelve are random. */
const digits = '0123456789abcdefghjkmnpqrstvwxyz';
const timeDigits = 10;
const randomDigits = 12;
const latest = 2 ** 48 - 1;
/** Ids of a process in one millisecond, as many as twelve bits count. */
const mostInMs = 4_096;

/** Random bytes for 256 ids, because asking for a few costs as much as for many. */
const random = Buffer.alloc(256 * (randomDigits + 1));
let used = random.length;

let ms = 0;
let time = '';
let count = 0;

/**
 * A new public id: prefixed, unique, and sorting by the time it was made, within a process also when that is the same millisecond. It is
 * a TypeID (https://github.com/jetify-com/typeid), a UUIDv7 in base 32, written here because a broadcast needs one for each delivery.
 */
export function newId(prefix: IdPrefix): string {
  count += 1;
  // Never back: the clock may be.
  const now = Math.max(Date.now(), count < mostInMs ? ms : ms + 1);
  if (now !== ms) {
    ms = now;
    time = inDigits(now, timeDigits);
    count = 0;
  }
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  // Twenty bits: the version 7 in four, the count in twelve, the variant 2 in two, and the first two that are random.
  let id = `${prefix}_${time}${inDigits((7 << 16) | (count << 4) | (2 << 2) | (byte() & 3), 4)}`;
  for (let n = 0; n < randomDigits; n++) id += digits[byte() & 31];
  return id;
}

function byte(): number {
  return random[used++] as number;
}

function inDigits(value: number, length: number): string {
  let text = '';
  for (let rest = value; text.length < length; rest = Math.floor(rest / 32)) text = digits[rest % 32] + text;
  return text;
}

/** The lowest id that can be made in this millisecond: every earlier id sorts before it, byte by byte. */
export function lowestId(prefix: IdPrefix, ms: number): string {
  return `${prefix}_${inDigits(Math.min(Math.max(ms, 0), latest), timeDigits).padEnd(26, '0')}`;
}

/** When an id was made, in milliseconds, by the clock of the process that made it; null for what is no id. */
export function timeOfId(id: string): number | null {
  const time = /^[a-z]+_([0-9a-hjkmnp-tv-z]{10})[0-9a-hjkmnp-tv-z]{16}$/.exec(id)?.[1];
  return time === undefined ? null : [...time].reduce((ms, digit) => ms * 32 + digits.indexOf(digit), 0);
}
