export type Node = Record<string, unknown>;

const retryAfter = { 'Retry-After': { description: 'Seconds.', schema: { type: 'integer' } } };

const answerHeaders: Record<string, Node> = {
  '200': {
    'Idempotent-Replayed': { description: '`true` when the request was recorded before.', schema: { type: 'string' } },
  },
  '202': { Location: { description: 'Where the broadcast is.', schema: { type: 'string' } } },
};

/**
 * What the plug-ins leave to be done on an OpenAPI document: bodies that may be left out, headers of answers, the usual spelling of header names, answers that
 * may gain properties, one schema instead of two where reading and writing are the same, and only schemas that are used.
 */
export function polished(document: Node, bodiless: ReadonlySet<unknown>): Node {
  for (const operation of operations(document)) {
    if (bodiless.has(operation.operationId)) delete (operation.requestBody as Node).required;
    for (const parameter of (operation.parameters ?? []) as Node[]) {
      if (parameter.in === 'header') parameter.name = usualSpelling(String(parameter.name));
    }
    const responses = (operation.responses ?? {}) as Record<string, Node>;
    openUp(responses);
    for (const status of ['429', '503']) if (responses[status]) responses[status].headers = retryAfter;
    if (operation.operationId !== 'createBroadcast') continue;
    for (const [status, headers] of Object.entries(answerHeaders)) {
      if (responses[status]) responses[status].headers = headers;
    }
  }
  const components = document.components as { schemas: Record<string, Node> };
  for (const [name, schema] of Object.entries(components.schemas)) if (!name.endsWith('Input')) openUp(schema);
  unbound(document);
  merge(document, components.schemas);
  components.schemas = used(document, components.schemas);
  return document;
}

function operations(document: Node): Node[] {
  return Object.values(document.paths as Record<string, Record<string, Node>>).flatMap((path) => Object.values(path));
}

function usualSpelling(name: string): string {
  if (name === 'traceparent') return name;
  if (name === 'last-event-id') return 'Last-Event-ID';
  return name.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());
}

function each(value: unknown, visit: (node: Node) => void): void {
  if (value === null || typeof value !== 'object') return;
  if (!Array.isArray(value)) visit(value as Node);
  for (const part of Object.values(value)) each(part, visit);
}

/** An answer may have more properties tomorrow; a client that is generated from this must not refuse them. */
function openUp(schema: unknown): void {
  each(schema, (node) => {
    if (node.additionalProperties === false) delete node.additionalProperties;
  });
}

/** That a number is no larger than JavaScript can count goes without saying. */
function unbound(document: Node): void {
  each(document, (node) => {
    if (node.maximum === Number.MAX_SAFE_INTEGER) delete node.maximum;
    if (node.minimum === Number.MIN_SAFE_INTEGER) delete node.minimum;
  });
}

const prefix = '#/components/schemas/';

/** `XInput` becomes `X` where there is no other X, or the two say the same. */
function merge(document: Node, schemas: Record<string, Node>): void {
  for (let again = true; again; ) {
    again = false;
    const needed = used(document, schemas);
    for (const [input, schema] of Object.entries(needed)) {
      if (!input.endsWith('Input')) continue;
      const name = input.slice(0, -'Input'.length);
      if (needed[name] && JSON.stringify(needed[name]) !== JSON.stringify(schema)) continue;
      schemas[name] = schema;
      delete schemas[input];
      each(document, (node) => {
        if (node.$ref === prefix + input) node.$ref = prefix + name;
      });
      again = true;
      break;
    }
  }
}

/** The schemas that paths and webhooks refer to, also by way of others, in alphabetical order. */
function used(document: Node, schemas: Record<string, Node>): Record<string, Node> {
  const names = new Set<string>();
  const follow = (node: Node) => {
    const name = typeof node.$ref === 'string' && node.$ref.startsWith(prefix) ? node.$ref.slice(prefix.length) : null;
    if (!name || names.has(name)) return;
    names.add(name);
    each(schemas[name], follow);
  };
  each([document.paths, document.webhooks], follow);
  return Object.fromEntries([...names].sort().flatMap((name) => (schemas[name] ? [[name, schemas[name]]] : [])));
}
