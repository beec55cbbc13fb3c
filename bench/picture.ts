import type { ArmResult } from './compare.ts';
import { median } from './cost.ts';

const width = 760;
const left = 330;
const row = 34;
const colours = { api: '#4c78a8', worker: '#f58518', redis: '#e45756', postgres: '#54a24b' } as const;
const labels = { api: 'API', worker: 'worker', redis: 'Redis', postgres: 'PostgreSQL' } as const;

/** What each delivery costs and where it goes: one bar per arm, processor time by part, with its deliveries a second. An SVG. */
export function drawPicture(results: readonly ArmResult[]): string {
  const parts = Object.keys(colours) as (keyof typeof colours)[];
  const costs = results.map(({ bursts }) => parts.map((part) => median(bursts.map((each) => each.cpu[part]))));
  const longest = Math.max(...costs.map((each) => each.reduce((sum, one) => sum + one, 0)));
  const scale = (width - left - 110) / longest;
  const bars = results.flatMap(({ name, bursts }, index) => {
    const y = 50 + index * row;
    let x = left;
    const pieces = parts.map((part, n) => {
      const length = (costs[index]?.[n] ?? 0) * scale;
      const piece = `<rect x="${x.toFixed(1)}" y="${y}" width="${length.toFixed(1)}" height="20" fill="${colours[part]}"/>`;
      x += length;
      return piece;
    });
    const rate = median(bursts.map((each) => each.deliveriesPerSecond));
    return [
      `<text x="${left - 8}" y="${y + 15}" text-anchor="end">${name}</text>`,
      ...pieces,
      `<text x="${(x + 6).toFixed(1)}" y="${y + 15}">${rate.toFixed(0)}/s</text>`,
    ];
  });
  const legend = parts.map(
    (part, n) =>
      `<rect x="${left + n * 95}" y="14" width="12" height="12" fill="${colours[part]}"/><text x="${left + 17 + n * 95}" y="25">${labels[part]}</text>`,
  );
  const height = 60 + results.length * row;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    '<title>Processor time per delivery by part, and deliveries a second</title>',
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="12" y="25">CPU µs per delivery, and deliveries/s</text>`,
    ...legend,
    ...bars,
    '</svg>\n',
  ].join('\n');
}
