import { expect, test } from 'vitest';
import { createBulkhead } from '../../workers/bulkhead.ts';

const place = (entered: ReturnType<ReturnType<typeof createBulkhead>['enter']>) => {
  if ('againMs' in entered) throw new Error('there was no place');
  return entered;
};

test('a destination gets its own number of places, whatever others hold', () => {
  const bulkhead = createBulkhead((name) => (name === 'wide' ? 3 : 1));
  const narrow = place(bulkhead.enter('narrow'));
  for (let n = 0; n < 3; n++) place(bulkhead.enter('wide'));
  expect(bulkhead.enter('wide')).toHaveProperty('againMs');
  expect(bulkhead.enter('narrow')).toHaveProperty('againMs');
  narrow.leave();
  place(bulkhead.enter('narrow'));
});

test('those who find no place come again one after another', () => {
  const bulkhead = createBulkhead(
    () => 1,
    () => 1_000,
  );
  place(bulkhead.enter('slow'));
  const waits = Array.from({ length: 100 }, () => bulkhead.enter('slow')).map((each) =>
    'againMs' in each ? each.againMs : 0,
  );
  expect(new Set(waits).size).toBe(100);
  expect(waits[0]).toBe(250);
  expect(waits[99]).toBe(250 + 99 * 20);
});
