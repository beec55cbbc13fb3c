import type pg from 'pg';
import { Refusal } from './refusal.ts';

/** Every step of the ladder is a whole delivery with all its attempts: a longer one would alert nobody in time. */
const longestLadder = 5;

/** Throws a Refusal when a fallback or an audience's member does not exist, or when fallbacks form a circle or go on for too long. */
export async function checkReferences(client: pg.PoolClient): Promise<void> {
  const { rows: members } = await client.query<{ audience: string; member: string }>(
    `select a.name as audience, m.member
       from audiences a cross join unnest(a.destinations) as m (member)
      where not exists (select from destinations where name = m.member)
      order by a.name, m.member`,
  );
  const [stray] = members;
  if (stray) {
    const names = members.filter(({ audience }) => audience === stray.audience).map(({ member }) => member);
    throw new Refusal(
      'member_missing',
      names,
      `Audience ${stray.audience} names ${list(names)}, which does not exist.`,
    );
  }

  const { rows } = await client.query<{ name: string; fallback: string | null }>(
    'select name, fallback from destinations',
  );
  const fallbacks = new Map(rows.map(({ name, fallback }) => [name, fallback]));
  for (const start of fallbacks.keys()) checkLadder(start, fallbacks);
}

function checkLadder(start: string, fallbacks: Map<string, string | null>): void {
  const ladder = [start];
  for (let next = fallbacks.get(start); next; next = fallbacks.get(next)) {
    if (!fallbacks.has(next)) {
      throw new Refusal('fallback_missing', [next], `The fallback ${next} of ${ladder.at(-1)} does not exist.`);
    }
    if (ladder.includes(next)) {
      const circle = [...ladder.slice(ladder.indexOf(next)), next];
      throw new Refusal('fallback_cycle', circle, `Fallbacks form a circle: ${circle.join(' → ')}.`);
    }
    ladder.push(next);
    if (ladder.length > longestLadder) {
      const path = ladder.join(' → ');
      throw new Refusal('fallback_too_long', ladder, `More than ${longestLadder} fallbacks in a row: ${path}.`);
    }
  }
}

function list(names: string[]): string {
  return names.join(', ');
}
