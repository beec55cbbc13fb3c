import { typeid } from 'typeid-js';

export type IdPrefix = 'bc' | 'dl' | 'key' | 'req';

/** A new public id (https://github.com/jetify-com/typeid): prefixed, unique, and sorting by the time it was made. */
export function newId(prefix: IdPrefix): string {
  return typeid(prefix).toString();
}
