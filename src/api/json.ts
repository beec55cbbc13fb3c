import { Problem } from './problems.ts';

/**
 * Parses a body. Throws a Problem that says where its JSON breaks, as far as the engine tells; it repeats nothing of the body: there may
 * be a secret beside the flaw.
 */
export function parseJson(text: string): unknown {
  try {
    // A byte order mark may be ignored: https://www.rfc-editor.org/rfc/rfc8259#section-8.1
    return JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text);
  } catch (cause) {
    throw new Problem(400, 'malformed-json', `The body is not valid JSON: ${placed((cause as Error).message)}`);
  }
}

function placed(complaint: string): string {
  if (/end of JSON input|Unterminated/.test(complaint)) {
    return 'it ends too early. Is it whole, and are all quotes, brackets and braces closed?';
  }
  const [, line, column] = /\(line (\d+) column (\d+)\)/.exec(complaint) ?? [];
  const where = line ? `it breaks at line ${line}, column ${column}. ` : '';
  return `${where}Look for a missing or superfluous comma, quote or bracket; names and strings need double quotes.`;
}
