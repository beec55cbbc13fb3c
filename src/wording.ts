import { z } from 'zod';

type Complaint = Parameters<z.core.$ZodErrorMap>[0];

/**
 * What zod complains of, as a remedy that can be read after the name of the place: "must be a whole number from 1 to 200". A schema
 * that knows a better one says it itself, and then this is not asked.
 */
export function wording(issue: Complaint): string {
  if (issue.input === undefined) return 'is required';
  switch (issue.code) {
    case 'invalid_type':
      if (issue.expected === 'string' && Array.isArray(issue.input)) return 'must be one string, given once';
      return number(issue) ?? `must be ${noun(issue.expected)}`;
    case 'invalid_value':
      return `must be ${choice(issue.values)}`;
    case 'too_small':
      if (issue.minimum === 1 && issue.origin in units) return 'must not be empty';
      return number(issue) ?? `must have at least ${issue.minimum} ${units[issue.origin] ?? ''}`;
    case 'too_big':
      return number(issue) ?? `must have at most ${issue.maximum} ${units[issue.origin] ?? ''}`;
    case 'invalid_format':
      return formats[issue.format]?.(String(issue.input)) ?? 'is not of the right form';
    case 'unrecognized_keys':
      return `is not known here${known(issue.inst)}`;
    default:
      return 'is not valid here';
  }
}

/** `string`, `int` and their like, as a person says it. */
export function noun(type: string): string {
  return nouns[type] ?? `of the type ${type}`;
}

const nouns: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
  null: 'null',
};

const units: Record<string, string> = { string: 'characters', array: 'items' };

const formats: Record<string, (text: string) => string> = {
  datetime: (text) =>
    `must be an RFC 3339 time with its zone, such as 2026-11-20T15:00:00.000Z${
      // A plus sign in a query is a space, as forms have it.
      / \d\d:\d\d$/.test(text) ? ' (in a URL, + is written %2B)' : ''
    }`,
  url: () => 'must be a URL, such as https://example.com/path',
  email: () => 'must be an e-mail address, such as you@example.com',
};

/** What a number has to be, all of it, however it is wrong; null where no number is meant. */
function number(issue: Complaint): string | null {
  // A check's complaint has its schema beside it.
  const { inst, schema = inst } = issue as { inst?: unknown; schema?: unknown };
  if (!(schema instanceof z.ZodNumber)) return null;
  const [least, most] = [schema.minValue, schema.maxValue].map((bound) =>
    bound !== null && Number.isFinite(bound) && Math.abs(bound) < Number.MAX_SAFE_INTEGER ? bound : null,
  );
  const what = `must be ${noun(schema.isInt ? 'int' : 'number')}`;
  if (least !== null && most !== null) return `${what} from ${least} to ${most}`;
  if (least !== null) return `${what}, at least ${least}`;
  return most === null ? what : `${what}, at most ${most}`;
}

function choice(values: readonly unknown[]): string {
  return values.length === 1 ? String(values[0]) : `one of ${values.join(', ')}`;
}

/** The names that there are, so that a misspelt one is found without the documentation. */
function known(schema: unknown): string {
  if (!(schema instanceof z.ZodObject)) return '';
  const names = Object.keys(schema.shape);
  return names.length > 0 ? `: there is ${names.join(', ')}` : ': leave it out';
}
