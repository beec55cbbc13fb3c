import type { FastifySchemaCompiler } from 'fastify';
import { z } from 'zod';
import type { $ZodIssue, $ZodType } from 'zod/v4/core';
import { type Flaw, invalid, pointerTo } from './problems.ts';

/** Zod describes a missing property as a value of the wrong type. */
const missing = (issue: { code: string; input: unknown }) =>
  issue.code === 'invalid_type' && issue.input === undefined ? 'is required' : undefined;

type Parsed<T> = { ok: true; value: T } | { ok: false; errors: Flaw[] };

/** Parses; on failure every flaw has its place below `at`. */
export function parse<S extends $ZodType>(schema: S, value: unknown, at: PropertyKey[] = []): Parsed<z.output<S>> {
  const parsed = z.safeParse(schema, value, { error: missing as never });
  if (parsed.success) return { ok: true, value: parsed.data };
  return { ok: false, errors: parsed.error.issues.flatMap((issue) => flawsIn(issue, at)) };
}

function flawsIn(issue: $ZodIssue, at: PropertyKey[]): Flaw[] {
  const path = [...at, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ pointer: pointerTo([...path, key]), detail: 'is not known here' }));
  }
  if (issue.code === 'invalid_union') {
    // The branch whose shape was meant says what is wrong; a value of no branch's shape is itself what is wrong.
    const meant = issue.errors.filter((branch) => branch.some((inner) => inner.path.length > 0 || !isShape(inner)));
    const [only] = meant;
    if (only && meant.length === 1) return only.flatMap((inner) => flawsIn(inner, path));
    const wanted = issue.errors.flat().flatMap((inner) => (inner.code === 'invalid_type' ? inner.expected : []));
    const detail = wanted.length > 0 ? `must be of type ${[...new Set(wanted)].join(' or ')}` : issue.message;
    return [{ pointer: pointerTo(path), detail }];
  }
  if (issue.code === 'invalid_key') {
    return [{ pointer: pointerTo(path), detail: issue.issues.map(({ message }) => message).join('; ') }];
  }
  return [{ pointer: pointerTo(path), detail: issue.message }];
}

function isShape(issue: $ZodIssue): boolean {
  return issue.code === 'invalid_type';
}

/** Validates what Fastify received, and refuses with a Problem. */
export const validatorCompiler: FastifySchemaCompiler<$ZodType> = ({ schema, httpPart }) => {
  return (data) => {
    // Fastify hands over null where there is no body.
    const parsed = parse(schema, httpPart === 'body' && data === null ? undefined : data);
    if (parsed.ok) return { value: parsed.value };
    const errors = httpPart === 'body' ? parsed.errors : parsed.errors.map(asParameter);
    return { error: invalid(errors) };
  };
};

function asParameter({ pointer, detail }: Flaw): Flaw {
  return { pointer: '', parameter: pointer.split('/')[1] ?? '', detail };
}

/**
 * What PostgreSQL's jsonb and text cannot hold, though JSON can: NUL, and halves of surrogate pairs. Refused with its place,
 * because dropping a character silently would change what is said.
 */
export function unstorable(value: unknown, path: PropertyKey[] = []): Flaw | null {
  if (typeof value === 'string') {
    if (!value.includes('\0') && value.isWellFormed()) return null;
    return { pointer: pointerTo(path), detail: 'must not contain NUL characters or lone surrogates' };
  }
  if (value === null || typeof value !== 'object') return null;
  for (const [key, part] of Object.entries(value)) {
    const flaw = unstorable(key, [...path, key]) ?? unstorable(part, [...path, key]);
    if (flaw) return flaw;
  }
  return null;
}
