import { readFile } from 'node:fs/promises';
import { parse as parseYaml, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { Name } from './api/broadcast-body.ts';
import { AudienceBody, composeDestination, DestinationBody } from './api/destination-body.ts';
import type { Parts } from './api/parts.ts';
import { type Flaw, Problem } from './api/problems.ts';
import { parse } from './api/validation.ts';
import { environmentVariable } from './config.ts';
import { applyDeclarations } from './ledger/apply-declarations.ts';
import { Refusal } from './ledger/refusal.ts';
import { StartError } from './start-error.ts';

const Declared = z
  .strictObject({
    destinations: z.record(Name, DestinationBody).nullable().default({}),
    audiences: z.record(Name, AudienceBody).nullable().default({}),
  })
  .nullable();

/** The value of an environment variable. */
type Variable = (name: string) => string | undefined;

export class DeclarationError extends StartError {
  override name = 'DeclarationError';
}

/**
 * Applies a YAML file of destinations and audiences: all of it in one transaction, or, throwing a DeclarationError that says
 * what is wrong where, nothing. What the file does not name stays as it is.
 */
export async function applyConfigFile(
  path: string,
  { db, vault, config }: Pick<Parts, 'db' | 'vault' | 'config'>,
  variable: Variable = environmentVariable,
): Promise<{ destinations: string[]; audiences: string[] }> {
  const declared = parse(Declared, fill(await load(path), variable, path));
  if (!declared.ok) throw flawed(path, declared.errors);
  const { destinations, audiences } = declared.value ?? { destinations: null, audiences: null };
  const rules = { vault, allowPrivateNetworks: config.allowPrivateNetworks };
  try {
    await applyDeclarations(db, {
      destinations: Object.entries(destinations ?? {}).map(([name, body]) => ({
        name,
        compose: (before) => composeDestination(name, body, before, rules, ['destinations', name]),
      })),
      audiences: Object.entries(audiences ?? {}).map(([name, body]) => ({
        name,
        destinations: [...new Set(body.destinations)],
      })),
    });
  } catch (error) {
    if (error instanceof Problem) throw flawed(path, error.errors ?? [{ pointer: '', detail: error.message }]);
    if (error instanceof Refusal) throw new DeclarationError(`${path}: ${error.message}`);
    throw error;
  }
  return { destinations: Object.keys(destinations ?? {}), audiences: Object.keys(audiences ?? {}) };
}

async function load(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new DeclarationError(`TOCSIN_CONFIG names ${path}, which cannot be read: ${(error as Error).message}`);
  }
  try {
    return parseYaml(text, { prettyErrors: false, logLevel: 'error' });
  } catch (error) {
    throw new DeclarationError(`${path} is not valid YAML${placed(error, text)}`);
  }
}

/** Where YAML breaks and by which rule, without the parser's own words: they quote the line, and there may be a secret on it. */
function placed(error: unknown, text: string): string {
  if (!(error instanceof YAMLParseError))
    return ': an alias (*name) in it has no anchor (&name), or there are too many.';
  const before = text.slice(0, error.pos[0]).split('\n');
  const rule = error.code.toLowerCase().replaceAll('_', ' ');
  return ` at line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}: ${rule}.`;
}

/** Replaces `${NAME}` within strings, after parsing, so that no value can change the file's structure. */
function fill(value: unknown, variable: Variable, path: string): unknown {
  if (typeof value === 'string') {
    return value.replaceAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, name: string) => {
      const replacement = variable(name);
      if (replacement !== undefined) return replacement;
      throw new DeclarationError(`${path} uses \${${name}}, but the environment variable ${name} is not set.`);
    });
  }
  if (Array.isArray(value)) return value.map((part) => fill(part, variable, path));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, fill(part, variable, path)]));
}

function flawed(path: string, flaws: Flaw[]): DeclarationError {
  return new DeclarationError(
    flaws.map(({ pointer, detail }) => `${path}: ${pointer ? `${pointer}: ` : ''}${detail}`).join('\n'),
  );
}
