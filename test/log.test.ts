import { expect, test } from 'vitest';
import { createLog } from '../src/log.ts';

test('a line tells what happened, and no secret that was handed to it by its name', () => {
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push(line) });
  const hush = 'xoxb-hush';
  log.info({ secrets: { token: hush }, call: { secrets: { token: hush } }, token: hush }, 'one');
  log.info({ req: { headers: { authorization: hush } }, destination: { signingSecret: hush }, name: 'chat' }, 'two');
  log.debug('three');
  expect(lines.join()).not.toContain(hush);
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: 'info', time: expect.stringMatching(/Z$/), msg: 'one' },
    { msg: 'two', name: 'chat' },
  ]);
});

test('text from outside cannot steer the terminal that a log is read on, nor turn what stands around it', () => {
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push(line) });
  const hostile = 'a\u009b2Jb\u202ec\u2066d\u2028e\u007f';
  log.info({ reason: hostile }, hostile);
  expect(lines.join()).not.toMatch(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ reason: hostile, msg: hostile });
});
