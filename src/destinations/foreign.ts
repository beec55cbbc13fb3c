/** Control characters except tab and line ends. PostgreSQL stores no NUL; terminals obey the others when a log is shown. */
const control = /(?![\t\n\r])\p{Cc}/gu;

/** A text from outside in a form that every table, log and reply can hold: controls and lone surrogates become U+FFFD. */
export function cleanText(text: string): string {
  return text.toWellFormed().replace(control, '\ufffd');
}

/** A value as JSON has it, with every text and every name in it clean. */
export function cleanJson(value: unknown): unknown {
  if (typeof value === 'string') return cleanText(value);
  if (Array.isArray(value)) return value.map(cleanJson);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [cleanText(name), cleanJson(part)]));
}

/** What stands where a text belongs. `String()` throws on some objects that JSON can make, such as `{ "toString": 1 }`. */
export function textFrom(value: unknown): string {
  if (typeof value === 'string') return value;
  try {
    return String(typeof value === 'object' ? JSON.stringify(value) : value);
  } catch {
    return '';
  }
}
