import { createHash } from 'node:crypto';

/** Ours alone, so that no other program's name-based UUIDs can meet these. */
const namespace = Buffer.from('6f1d7c7e5a0b4c0e9a58b3f3b2e1a9d4', 'hex');

/** The id of the card in a delivery's message: UUIDv5 of the key (https://www.rfc-editor.org/rfc/rfc9562#section-5.5). */
export function attachmentId(key: string): string {
  const bytes = createHash('sha1').update(namespace).update(key).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
