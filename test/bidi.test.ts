import { expect, test } from 'vitest';
import { closedBidi } from '../src/bidi.ts';
import { Message } from '../src/message.ts';

const [lre, rlo, pdf, rli, pdi] = ['\u202a', '\u202e', '\u202c', '\u2067', '\u2069'];

test.each([
  ['plain', 'plain'],
  ['مرحبا', 'مرحبا'],
  [`a ${rlo}b${pdf} c`, `a ${rlo}b${pdf} c`],
  [`a ${rli}b${pdi} c`, `a ${rli}b${pdi} c`],
  [`${rli}${rlo}a${pdi} b`, `${rli}${rlo}a${pdi} b`],
  [`a ${rlo}gnp.exe`, 'a gnp.exe'],
  [`${lre}${rlo}a${pdf}b`, `${rlo}a${pdf}b`],
  [`a${pdf}b${pdi}c`, 'abc'],
  [`${rlo}a${rli}b${pdf}${pdi}`, `a${rli}b${pdi}`],
  [`😀${rlo}😀`, '😀😀'],
])('of the marks of direction in %j only pairs are left (%#)', (text, expected) => {
  expect(closedBidi(text)).toBe(expected);
  expect(closedBidi(closedBidi(text))).toBe(expected);
});

test('no line of a message turns the direction of what follows it', () => {
  const wrong = `x${rlo}y`;
  const message = {
    title: wrong,
    fields: [{ name: wrong, value: wrong }],
    links: [{ text: wrong, url: 'https://a.example' }],
  };
  expect(Message.parse(message)).toEqual({
    title: 'xy',
    severity: 'info',
    fields: [{ name: 'xy', value: 'xy' }],
    links: [{ text: 'xy', url: 'https://a.example' }],
  });
  expect(Message.safeParse({ title: `${rlo}` }).success).toBe(false);
});
