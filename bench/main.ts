// npm run bench -- <name>: real processes on real servers, receivers on loopback. Ends by itself; 1 when a target was missed.
const benches: Record<string, () => Promise<{ run(options: string[]): Promise<boolean> }>> = {
  compare: () => import('./compare.ts'),
  growth: () => import('./growth.ts'),
  isolation: () => import('./isolation.ts'),
  statements: () => import('./statements.ts'),
  throughput: () => import('./throughput.ts'),
  wide: () => import('./wide.ts'),
};

const name = process.argv[2] ?? 'compare';
const load = benches[name];
if (!load) {
  console.error(`Which one? npm run bench -- ${Object.keys(benches).join(' | ')}`);
  process.exit(2);
}
process.exit((await (await load()).run(process.argv.slice(3))) ? 0 : 1);
