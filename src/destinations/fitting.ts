/**
 * The fullest payload that weighs at most `limit`. `build` is given how much room there is, from 1 (everything) towards 0 (only
 * what must be said), and shrinks every part that may grow: what it builds with 0 is taken as it is.
 */
export function fitting<Payload>(
  limit: number,
  weigh: (payload: Payload) => number,
  build: (room: number) => Payload,
): Payload {
  let room = 1;
  for (let tries = 0; tries < 12; tries += 1) {
    const payload = build(room);
    const weight = weigh(payload);
    if (weight <= limit) return payload;
    // Not every part shrinks with the room, so aim below the limit and never step by less than a tenth.
    room *= Math.min(0.9, (limit / weight) * 0.97);
  }
  return build(0);
}

export function jsonBytes(payload: unknown): number {
  return Buffer.byteLength(JSON.stringify(payload));
}
