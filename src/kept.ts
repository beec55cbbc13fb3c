/** A cache. It drops the entries that were not used for longest when it is full. */
export interface Kept<T> {
  get(key: string): T | undefined;
  /** `size` is counted in the unit of the limit. */
  put(key: string, value: T, size: number): void;
  drop(key: string): void;
}

export function keep<T>(most: number): Kept<T> {
  const entries = new Map<string, { value: T; size: number }>();
  let sum = 0;
  const drop = (key: string) => {
    sum -= entries.get(key)?.size ?? 0;
    entries.delete(key);
  };
  return {
    get(key) {
      const entry = entries.get(key);
      if (!entry) return undefined;
      entries.delete(key);
      entries.set(key, entry);
      return entry.value;
    },
    put(key, value, size) {
      drop(key);
      entries.set(key, { value, size });
      sum += size;
      for (const oldest of entries.keys()) {
        if (sum <= most) return;
        drop(oldest);
      }
    },
    drop,
  };
}
