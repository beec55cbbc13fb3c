import type pg from 'pg';

/** The broadcasts that are copied. */
export interface Template {
  /** The id of a finished broadcast, as the ledger keeps it. */
  id: string;
  /** How many copies to make of it. */
  copies: number;
}

const days = 90;
/** Copies that one transaction makes. */
const batch = 20_000;

/**
 * Fills a ledger with copies of finished broadcasts that were really delivered, spread over the last ninety days. Every table that tells of
 * broadcasts or deliveries is filled, whatever its columns: only ids and times differ from the original's.
 */
export async function fill(
  db: pg.Pool,
  templates: readonly Template[],
  told: (share: number) => void = () => {},
): Promise<void> {
  const client = await db.connect();
  try {
    // Nothing of this has to survive a crash.
    await client.query('set synchronous_commit = off');
    const keys = await dropForeignKeys(client);
    const tables = await tablesOf(client);
    const all = templates.reduce((sum, { copies }) => sum + copies, 0);
    let done = 0;
    for (const { id, copies } of templates) {
      await client.query('drop table if exists copied');
      await client.query(
        `create temporary table copied as select id, row_number() over (order by id) as k from deliveries where broadcast_id = $1`,
        [id],
      );
      const spanMs = (days * 86_400_000) / copies;
      for (let from = 0; from < copies; from += batch) {
        const to = Math.min(from + batch, copies);
        await client.query('begin');
        for (const table of tables) await client.query(copying(table), [id, from, to - 1, spanMs, days]);
        await client.query('commit');
        done += to - from;
        told(done / all);
      }
    }
    for (const add of keys) await client.query(add);
  } finally {
    // With an open transaction it must not be used again.
    client.release(true);
  }
}

interface Column {
  name: string;
  type: string;
}

interface Filled {
  name: string;
  columns: Column[];
}

/** The tables that tell of broadcasts and deliveries, and their columns but for those that PostgreSQL fills in itself. */
async function tablesOf(client: pg.PoolClient): Promise<Filled[]> {
  const { rows } = await client.query<Filled>(`
    select c.relname as name,
           jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, null)) order by a.attnum)
             filter (where a.attidentity = '' and a.attgenerated = '') as columns
      from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
     group by c.relname`);
  const keyed = rows.filter((table) => keyOf(table) !== null);
  if (!keyed.some(({ name }) => name === 'broadcasts') || !keyed.some(({ name }) => name === 'deliveries')) {
    throw new Error('The ledger has no tables broadcasts and deliveries: bench/fill.ts has to learn its new names.');
  }
  return keyed;
}

/** How a table's rows are found by the broadcast that they tell of: SQL for its id. Null where they tell of none. */
function keyOf({ name, columns }: Filled): string | null {
  const has = (column: string) => columns.some((each) => each.name === column);
  if (name === 'broadcasts') return 't.id';
  if (has('broadcast_id')) return 't.broadcast_id';
  if (has('delivery_id')) return '(select d.broadcast_id from deliveries d where d.id = t.delivery_id)';
  return null;
}

/** Copies a template's rows of one table. $1 is the template's id, $2 to $3 the numbers of the copies, $4 their distance in milliseconds. */
function copying(table: Filled): string {
  const values = table.columns.map(({ name, type }) => {
    if (name === 'broadcast_id' || (table.name === 'broadcasts' && name === 'id'))
      return idOf(type, 'bc', `g.n || ' '`);
    if (name === 'delivery_id' || (table.name === 'deliveries' && name === 'id'))
      return idOf(type, 'dl', `g.n || ' ' || c.k`);
    if (type === 'timestamp with time zone') return `t.${name} + g.shift`;
    // It did not change lately.
    if (type === 'xid8') return `'0'::xid8`;
    return `t.${name}`;
  });
  const ofDeliveries = table.columns.some(({ name }) => name === 'delivery_id') ? 't.delivery_id' : 't.id';
  const numbered = values.some((value) => value.includes('c.k')) ? `left join copied c on c.id = ${ofDeliveries}` : '';
  return `
    insert into ${table.name} (${table.columns.map(({ name }) => name).join(', ')})
    select ${values.join(', ')}
      from (select n, at, ${stamp('(extract(epoch from at) * 1000)::bigint')} as stamp, at - b.created_at as shift
              from broadcasts b
             cross join generate_series($2::bigint, $3::bigint) n
             cross join lateral (select now() - $5::int * interval '1 day' + n * $4::float8 * interval '1 ms' as at) m
             where b.id = $1
            offset 0) g
     join ${table.name} t on ${keyOf(table)} = $1
     ${numbered}
     order by g.n, t.ctid`;
}

/** SQL for an id that was made at this time: a version 7 UUID, or one in the text form of src/ids.ts. */
function idOf(type: string, prefix: string, salt: string): string {
  const random = `md5('${prefix}' || ${salt})`;
  if (type === 'uuid') {
    const at = `lpad(to_hex((extract(epoch from g.at) * 1000)::bigint), 12, '0')`;
    return `(${at} || '7' || substr(${random}, 1, 3) || '8' || substr(${random}, 4, 15))::uuid`;
  }
  return `'${prefix}_' || g.stamp || 'e' || substr(${random}, 1, 2) || '8' || substr(${random}, 3, 12)`;
}

/** SQL for the first ten digits of a typeid: the milliseconds since 1970 in base 32. */
function stamp(ms: string): string {
  const digit = (bits: number) => `substr('0123456789abcdefghjkmnpqrstvwxyz', ((${ms} >> ${bits}) & 31)::int + 1, 1)`;
  return [45, 40, 35, 30, 25, 20, 15, 10, 5, 0].map(digit).join(' || ');
}

/** They would be checked row by row. Answers the statements that add them again. */
async function dropForeignKeys(client: pg.PoolClient): Promise<string[]> {
  const { rows } = await client.query<{ table: string; name: string; definition: string }>(`
    select conrelid::regclass::text as table, quote_ident(conname) as name, pg_get_constraintdef(oid) as definition
      from pg_constraint
     where contype = 'f' and conparentid = 0 and connamespace = current_schema()::regnamespace
       and confrelid in ('broadcasts'::regclass, 'deliveries'::regclass)`);
  for (const { table, name } of rows) await client.query(`alter table ${table} drop constraint ${name}`);
  return rows.map(({ table, name, definition }) => `alter table ${table} add constraint ${name} ${definition}`);
}
