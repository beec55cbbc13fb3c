import { configure } from './configure.ts';
import type { Database } from './database.ts';
import { openAt } from './open-at.ts';
import { openDeliveries, Refusal } from './refusal.ts';

/** False when there is none. Throws a Refusal while deliveries are open there, or while something refers to it. */
export function removeDestination(db: Database, name: string): Promise<boolean> {
  return configure(db, async (client) => {
    const { rows } = await client.query<{ open: number; audiences: string[]; dependants: string[] }>(
      `select (select count(*)::int from ${openAt('t.name', 'id')} d) as open,
              array(select a.name from audiences a where t.name = any(a.destinations) order by 1) as audiences,
              array(select d.name from destinations d where d.fallback = t.name order by 1) as dependants
         from destinations t where t.name = $1 for update`,
      [name],
    );
    const [use] = rows;
    if (!use) return false;
    if (use.audiences.length > 0) {
      const names = use.audiences.join(', ');
      throw new Refusal('in_use', use.audiences, `Audiences refer to ${name}: take it out of ${names} first.`);
    }
    if (use.dependants.length > 0) {
      const names = use.dependants.join(', ');
      throw new Refusal('in_use', use.dependants, `${name} is the fallback of ${names}: give them another one first.`);
    }
    if (use.open > 0) {
      throw new Refusal(
        'in_use',
        [name],
        `${openDeliveries(use.open, name)}: let them end, or cancel their broadcasts (GET /deliveries?destination=${name} names them).`,
      );
    }
    await client.query('delete from destinations where name = $1', [name]);
    return true;
  });
}
