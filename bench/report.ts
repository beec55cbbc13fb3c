import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { type Table, table } from './table.ts';

/** A figure to reach: at least, or at most, the bound. */
export interface Check {
  what: string;
  value: number;
  bound: number;
  side: 'least' | 'most';
}

export interface Report {
  /** The name of the bench. */
  bench: string;
  tables: Table[];
  checks: Check[];
  /** Everything that was measured. */
  results: unknown;
  /** An SVG. */
  picture?: string;
}

/**
 * Prints what a bench found, and answers whether every figure was reached. With BENCH_OUTPUT=<path> it also goes into <path>.json, the
 * picture into <path>.svg, and the tables into <path>.md, where that has a place for them.
 */
export async function publish(found: Report): Promise<boolean> {
  // What was not measured is no miss.
  const report = { ...found, checks: found.checks.filter(({ value }) => !Number.isNaN(value)) };
  for (const each of report.tables) table(each);
  for (const check of report.checks) {
    const { what, value, bound, side } = check;
    console.log(`${isMet(check) ? 'met   ' : 'MISSED'}  ${what}: ${value.toFixed(2)} (at ${side} ${bound})`);
  }
  const path = process.env.BENCH_OUTPUT;
  if (path) await write(path, report);
  return report.checks.every(isMet);
}

function isMet({ value, bound, side }: Check): boolean {
  return side === 'least' ? value >= bound : value <= bound;
}

async function write(path: string, { bench, tables, checks, results, picture }: Report): Promise<void> {
  const machine = { cores: availableParallelism(), processor: cpus()[0]?.model, node: process.version };
  const all = JSON.parse((await textOf(`${path}.json`)) ?? '{}');
  all[bench] = { at: new Date().toISOString(), machine, checks, results };
  await writeFile(`${path}.json`, `${JSON.stringify(all, null, 2)}\n`);
  if (picture) await writeFile(`${path}.svg`, picture);
  const page = await textOf(`${path}.md`);
  if (page) await writeFile(`${path}.md`, filled(page, bench, [...tables, ...tableOf(checks)]));
}

/** The page with these tables at the place that is kept for them: `<!-- figures: name -->` to `<!-- end -->`. */
function filled(page: string, bench: string, tables: readonly Table[]): string {
  const begin = `<!-- figures: ${bench} -->\n`;
  const from = page.indexOf(begin);
  const to = page.indexOf('<!-- end -->', from);
  if (from < 0 || to < 0) return page;
  return `${page.slice(0, from)}${begin}\n${tables.map(markdown).join('\n')}\n${page.slice(to)}`;
}

function markdown({ title, rows: [head = [], ...rows] }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return `${[`${title}:`, '', line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')}\n`;
}

function tableOf(checks: readonly Check[]): Table[] {
  const rows = checks.map(({ what, value, bound, side }) => [what, value.toFixed(2), `at ${side} ${bound}`]);
  return rows.length > 0 ? [{ title: 'Figures to reach', rows: [['', 'measured', 'wanted'], ...rows] }] : [];
}

async function textOf(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
}
