// npm run bench -- <name>: real processes on real servers, receivers on loopback. Ends by itself; 1 when a target was missed.
const benches: Record<string, () => Promise<{ run(): Promise<boolean> }>> = {
  compare: () => import('./compare.ts'),
  isolation: () => import('./isolation.ts'),
  throughput: () => import('./throughput.ts'),
};

const name = process.argv[2] ?? 'compare';
const load = benches[name];
if (!load) {
  console.error(`Which one? npm run bench -- ${Object.keys(benches).join(' | ')}`);
  process.exit(2);
}
process.exit((await (await load()).run()) ? 0 : 1);
