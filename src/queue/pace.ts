/** So many sends may begin in so many milliseconds. */
export interface Pace {
  max: number;
  perMs: number;
}

/** Steps finer than this cost more claims than they smooth, in milliseconds. */
const finestStepMs = 50;
/** More steps than these in one span smooth nothing any more. */
const mostSteps = 600;

/**
 * A rate limit as even steps: so many sends each step. In steps, no span of `perMs` sees more than `max`: one send a step, or, where
 * steps would be too fine, a few. A span may then touch one step more than it holds, and that one is not used: of all such divisions
 * the one that wastes least.
 */
export function evenly({ max, perMs }: Pace): Pace {
  if (perMs / max >= finestStepMs) return { max: 1, perMs: Math.ceil(perMs / max) };
  const most = Math.min(Math.floor(perMs / finestStepMs), max - 1, mostSteps);
  let best = 0;
  for (let steps = 1; steps <= most; steps++) if (sends(steps) >= sends(best)) best = steps;
  return best === 0 ? { max, perMs } : { max: sends(best) / best, perMs: Math.ceil(perMs / best) };

  function sends(steps: number): number {
    return Math.floor(max / (steps + 1)) * steps;
  }
}
