import { createCipheriv, createDecipheriv, createHash, randomBytes, scrypt } from 'node:crypto';
import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Seals values at rest. `context` says where a value belongs: sealed bytes that were copied elsewhere do not open. */
export interface Vault {
  seal(value: unknown, context: string): Buffer;
  /** Throws a SecretKeyError when it was sealed with another key, for another context, or tampered with. */
  open(sealed: Buffer, context: string): unknown;
}

export class SecretKeyError extends Error {
  override name = 'SecretKeyError';
}

export const destinationSecrets = (name: string) => `destination:${name}`;
export const callbackSecret = (broadcastId: string) => `callback:${broadcastId}`;

/** version (1) | key id (4) | nonce (12) | tag (16) | ciphertext. The key id leaves room for a second key while rotating. */
const version = 1;
const nonceAt = 5;
const tagAt = nonceAt + 12;
const textAt = tagAt + 16;

export function createVault(key: Buffer): Vault {
  const head = Buffer.concat([Buffer.of(version), createHash('sha256').update(key).digest().subarray(0, 4)]);
  const bound = (context: string) => Buffer.concat([head, Buffer.from(context)]);

  return {
    seal(value, context) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(bound(context));
      const text = Buffer.concat([cipher.update(JSON.stringify(value)), cipher.final()]);
      return Buffer.concat([head, nonce, cipher.getAuthTag(), text]);
    },

    open(sealed, context) {
      if (!sealed.subarray(0, nonceAt).equals(head)) {
        throw new SecretKeyError(
          `The secret of ${context} was sealed with another key. Start with the TOCSIN_SECRET_KEY (or secret.key file) ` +
            'that was in use when it was stored, or store it again.',
        );
      }
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(nonceAt, tagAt), { authTagLength: 16 })
          .setAAD(bound(context))
          .setAuthTag(sealed.subarray(tagAt, textAt));
        return JSON.parse(Buffer.concat([decipher.update(sealed.subarray(textAt)), decipher.final()]).toString());
      } catch (cause) {
        throw new SecretKeyError(`The secret of ${context} cannot be opened with this TOCSIN_SECRET_KEY.`, { cause });
      }
    },
  };
}

/**
 * The key of the vault: from TOCSIN_SECRET_KEY, or from `<dataDir>/secret.key`, which is made on the first start. Both are
 * derived in the same way, so that the file's line can become the variable when the data moves.
 */
export async function loadSecretKey(source: { secretKey: string | null; dataDir: string }): Promise<Buffer> {
  const text = source.secretKey ?? (await keptKey(source.dataDir));
  // The salt only has to differ from that of other programs: every starter must derive the same key from the text alone.
  return (await promisify(scrypt)(text, 'tocsin secrets v1', 32)) as Buffer;
}

async function keptKey(dataDir: string): Promise<string> {
  const path = join(dataDir, 'secret.key');
  const kept = await readIfThere(path);
  if (kept !== null) return nonEmpty(kept, path);
  await mkdir(dataDir, { recursive: true, mode: 0o755 });
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(`${randomBytes(32).toString('base64')}\n`);
      // A key that is used before it is on the disk is lost with everything sealed by it.
      await file.sync();
    } finally {
      await file.close();
    }
    // Unlike rename, link never replaces: of two racing starters one wins, and both read the winner's key.
    await link(draft, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(draft, { force: true });
  }
  return nonEmpty(await readFile(path, 'utf8'), path);
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function nonEmpty(text: string, path: string): string {
  const key = text.trim();
  if (key.length >= 16) return key;
  throw new SecretKeyError(`${path} holds no usable key. Restore it from a backup, or set TOCSIN_SECRET_KEY.`);
}
