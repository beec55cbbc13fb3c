import type { FastifySchemaCompiler } from 'fastify';
import { z } from 'zod';
import type { $ZodIssue, $ZodType } from 'zod/v4/core';
import { noun, wording } from '../wording.ts';
import { type Flaw, invalid, pointerTo } from './problems.ts';

/** Deeper than anything that is asked for; the recursion over what was sent ends here. */
const deepest = 32;
/** More than anything that is asked for has, several times over: what is wrong with each of them would have to be found out. */
const mostValues = 10_000;

type Parsed<T> = { ok: true; value: T } | { ok: false; errors: Flaw[] };

/** Parses; on failure every flaw has its place below `at`. */
export function parse<S extends $ZodType>(schema: S, value: unknown, at: PropertyKey[] = []): Parsed<z.output<S>> {
  const parsed = z.safeParse(schema, value, { error: wording });
  if (parsed.success) return { ok: true, value: parsed.data };
  const flaws = parsed.error.issues.flatMap((issue) => flawsIn(issue, at));
  // One remedy may cure two complaints.
  return { ok: false, errors: [...new Map(flaws.map((flaw) => [flaw.pointer + flaw.detail, flaw])).values()] };
}

function flawsIn(issue: $ZodIssue, at: PropertyKey[]): Flaw[] {
  const path = [...at, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ pointer: pointerTo([...path, key]), detail: issue.message }));
  }
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    // The branch whose shape was meant says what is wrong; a value of no branch's shape is itself what is wrong.
    const deep = issue.errors.filter((branch) => branch.some((inner) => inner.path.length > 0));
    const meant = deep.length > 0 ? deep : issue.errors.filter((branch) => !branch.every(isShape));
    const [only] = meant;
    if (only && meant.length === 1) return only.flatMap((inner) => flawsIn(inner, path));
    const wanted = issue.errors.flat().flatMap((inner) => (inner.code === 'invalid_type' ? noun(inner.expected) : []));
    const detail = wanted.length > 0 ? `must be ${[...new Set(wanted)].join(' or ')}` : issue.message;
    return [{ pointer: pointerTo(path), detail }];
  }
  if (issue.code === 'invalid_key') {
    const detail = issue.issues.map(({ message }) => message.replace(/^must/, 'its name must')).join('; ');
    return [{ pointer: pointerTo(path), detail }];
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

export function asParameter({ pointer, detail }: Flaw): Flaw {
  return { pointer: '', parameter: pointer.split('/')[1] ?? '', detail };
}

/**
 * What no schema is to see: what PostgreSQL's jsonb and text cannot hold, though JSON can (NUL, and halves of surrogate pairs),
 * names by which a prototype is reached, and what is nested or goes on without end. Refused with its place, because dropping any of it
 * silently would change what is said.
 */
export function unacceptable(value: unknown, path: PropertyKey[] = [], seen = { values: 0 }): Flaw | null {
  seen.values += 1;
  if (seen.values > mostValues) return { pointer: '', detail: `must not have more than ${mostValues} values in all` };
  const flawed = (detail: string) => ({ pointer: pointerTo(path), detail });
  if (typeof value === 'string') {
    if (!value.includes('\0') && value.isWellFormed()) return null;
    return flawed('must not contain NUL characters or lone surrogates');
  }
  if (value === null || typeof value !== 'object') return null;
  if (path.length > deepest) return { pointer: '', detail: `must not be nested deeper than ${deepest} levels` };
  for (const [key, part] of Object.entries(value)) {
    if (key === '__proto__' || (key === 'prototype' && path.at(-1) === 'constructor')) {
      return { pointer: pointerTo([...path, key]), detail: 'is a name that is not taken: leave it out' };
    }
    const at = [...path, key];
    const flaw = unacceptable(key, at, { values: 0 }) ?? unacceptable(part, at, seen);
    if (flaw) return flaw;
  }
  return null;
}
