import { expect, test } from 'vitest';
import { createLevels } from '../../workers/levels.ts';

const rings = (count: number, destination = 'slow') => Array.from({ length: count }, () => ({ destination }));

function lanes() {
  const world = { waiting: 0, asked: 0, at: 0 };
  const levels = createLevels(
    async () => {
      world.asked += 1;
      return world.waiting;
    },
    () => world.at,
  );
  return { world, levels };
}

test('a lane that takes many small batches is asked once they may have filled it, and then takes only critical', async () => {
  const { world, levels } = lanes();
  for (let n = 0; n < 100; n++) {
    world.waiting += 30;
    await levels.added('to-slow', rings(30));
  }
  expect(await levels.read()).toEqual({ full: ['slow'], shut: [] });
  expect(world.asked).toBeLessThan(10);
});

test('a lane that criticals alone have filled takes nothing', async () => {
  const { world, levels } = lanes();
  world.waiting = 9_000;
  await levels.added('to-slow', rings(500));
  expect(await levels.read()).toEqual({ full: [], shut: ['slow'] });
});

test('a full lane is asked again after a rest, and takes on when it has drained', async () => {
  const { world, levels } = lanes();
  world.waiting = 2_500;
  await levels.added('to-slow', rings(500));
  world.waiting = 10;
  expect((await levels.read()).full).toEqual(['slow']);
  world.at += 1_000;
  expect(await levels.read()).toEqual({ full: [], shut: [] });
});

test('a lane that keeps up is hardly ever asked', async () => {
  const { world, levels } = lanes();
  for (let n = 0; n < 1_000; n++) await levels.added('to-quick', rings(1, 'quick'));
  expect(world.asked).toBe(1);
});
