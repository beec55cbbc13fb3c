import { typeid } from 'typeid-js';

export type IdPrefix = 'bc' | 'dl' | 'key' | 'req';

/** A new public id (https://github.com/jetify-com/typeid): prefixed, unique, and sorting by the time it was made. */
export function newId(prefix: IdPrefix): string {
  return typeid(prefix).toString();
}

/** Crockford's base 32, in which the first ten digits of an id are its time in milliseconds. */
const digits = '0123456789abcdefghjkmnpqrstvwxyz';
const timeDigits = 10;
const latest = 2 ** 48 - 1;

/** The lowest id that can be made in this millisecond: every earlier id sorts before it, byte by byte. */
export function lowestId(prefix: IdPrefix, ms: number): string {
  let left = Math.min(Math.max(ms, 0), latest);
  let time = '';
  for (let n = 0; n < timeDigits; n++) {
    time = digits[left % 32] + time;
    left = Math.floor(left / 32);
  }
  return `${prefix}_${time.padEnd(26, '0')}`;
}

/** When an id was made, in milliseconds, by the clock of the process that made it; null for what is no id. */
export function timeOfId(id: string): number | null {
  const time = /^[a-z]+_([0-9a-hjkmnp-tv-z]{10})[0-9a-hjkmnp-tv-z]{16}$/.exec(id)?.[1];
  return time === undefined ? null : [...time].reduce((ms, digit) => ms * 32 + digits.indexOf(digit), 0);
}
