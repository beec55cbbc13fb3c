import swagger from '@fastify/swagger';
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { stringify } from 'yaml';
import { z } from 'zod';
import { webhooks } from './events.ts';
import type { App } from './parts.ts';
import { type Node, polished } from './polish.ts';

const description = [
  'Tell it once, at many places. A broadcast is recorded durably and driven at each of its destinations on its own, until all ' +
    'have converged.',
  'Times are RFC 3339 in UTC with milliseconds. Ids sort by time. Unknown request properties are refused. Lists are newest ' +
    'first; pass `nextCursor` on as `cursor`. Errors are RFC 9457 problem details.',
].join('\n\n');

/** Collects every route that is registered after it. */
export async function registerDocument(app: App): Promise<void> {
  const inZod = createJsonSchemaTransformObject({});
  const toJsonSchema = createJsonSchemaTransform({ skipList: [] });
  /** Operations whose body may be left out: a JSON schema cannot say that of itself. */
  const bodiless = new Set<unknown>();
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Tocsin', version: '1', description, license: { name: 'MIT', identifier: 'MIT' } },
      servers: [{ url: '/' }],
      tags: [
        { name: 'broadcasts', description: 'Saying things, and seeing what became of them.' },
        { name: 'deliveries', description: 'One broadcast at one destination.' },
        { name: 'destinations', description: 'Configured places to say things at.' },
        { name: 'audiences', description: 'Named sets of destinations.' },
        { name: 'events', description: 'Seeing things change as they do.' },
        { name: 'keys', description: 'Who may do what.' },
        { name: 'operations', description: 'For probes and Prometheus. No key is needed.' },
      ],
      security: [{ key: [] }],
      components: {
        securitySchemes: {
          key: {
            type: 'http',
            scheme: 'bearer',
            description:
              'An API key. Scopes: `send`, `read`, and `admin`, which includes both. With `send` a key changes only the broadcasts ' +
              'that it made itself, and sees no others unless it has `read` too.',
          },
        },
      },
      webhooks: webhooks as never,
    },
    transform: (route) => {
      const { body, operationId } = (route.schema ?? {}) as { body?: unknown; operationId?: string };
      if (body instanceof z.ZodType && body.safeParse(undefined).success) bodiless.add(operationId);
      return toJsonSchema(route as never);
    },
    transformObject: (document) => polished(inZod(document) as unknown as Node, bodiless) as never,
  });
}

/** Every route in one document. Only after the application is ready. */
export function openapiYaml(app: App): string {
  return stringify(app.swagger(), { aliasDuplicateObjects: false, lineWidth: 120 });
}
