import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import type { Answer } from './standin.ts';

const packed = new Map<string, Buffer>();

/** A success that is small on the wire and large once it is unpacked: white space, which any JSON may end with. */
export function bomb(answer: Answer, encoding: 'gzip' | 'br' = 'gzip', megabytes = 64): Answer {
  const json = { ...answer.headers, 'content-type': 'application/json; charset=utf-8', 'content-encoding': encoding };
  const status = answer.status < 300 && answer.status !== 204 ? answer.status : 200;
  return { status, headers: json, body: packedSpace(encoding, megabytes) };
}

/** Packed once for each size, because packing takes longer than everything else that a stand-in does. */
function packedSpace(encoding: 'gzip' | 'br', megabytes: number): Buffer {
  const key = `${encoding} ${megabytes}`;
  const known = packed.get(key);
  if (known) return known;
  const space = Buffer.alloc(megabytes * 1024 * 1024, ' ');
  const made =
    encoding === 'gzip'
      ? gzipSync(space)
      : brotliCompressSync(space, { params: { [constants.BROTLI_PARAM_QUALITY]: 3 } });
  packed.set(key, made);
  return made;
}
