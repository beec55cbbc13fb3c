import { createHash } from 'node:crypto';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { openapiYaml } from '../openapi.ts';
import type { App } from '../parts.ts';

/** Nothing from elsewhere. No `upgrade-insecure-requests`: over plain HTTP it leaves the page blank anywhere but on loopback. */
const contentSecurityPolicy = [
  "default-src 'self'",
  "base-uri 'self'",
  "img-src 'self' data:",
  "object-src 'none'",
  "script-src-attr 'none'",
  "style-src 'self'",
  "frame-ancestors 'self'",
].join('; ');

interface Prepared {
  body: Buffer;
  type: string;
  etag: string;
}

/** The API's own description, for programs and for people. Everything the page needs comes from this server. */
export async function documentRoutes(app: App): Promise<void> {
  const documents = new Map<string, Prepared>();
  // Before anybody can ask: writing it takes a fifth of a second, and these routes need no key.
  app.addHook('onReady', async () => {
    const yaml = prepare(openapiYaml(app), 'application/yaml; charset=utf-8');
    documents.set('/openapi.yaml', yaml);
    documents.set('/docs/yaml', yaml);
    documents.set('/docs/json', prepare(JSON.stringify(app.swagger()), 'application/json; charset=utf-8'));
  });
  const answerPrepared = async (request: FastifyRequest, reply: FastifyReply) => {
    const document = documents.get(request.routeOptions.url ?? '');
    if (document) return answer(request, reply, document);
  };

  app.get('/openapi.yaml', { schema: { hide: true } }, answerPrepared);
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: contentSecurityPolicy,
    uiConfig: { deepLinking: true, persistAuthorization: false },
    theme: { title: 'Tocsin API' },
    // The plug-in would write its two documents anew for each request.
    uiHooks: { onRequest: answerPrepared },
  });
}

function prepare(text: string, type: string): Prepared {
  const body = Buffer.from(text);
  return { body, type, etag: `"${createHash('sha256').update(body).digest('base64url')}"` };
}

function answer({ headers }: FastifyRequest, reply: FastifyReply, { body, type, etag }: Prepared): FastifyReply {
  reply.header('etag', etag).header('cache-control', 'no-cache');
  // A proxy that compresses marks the tag as weak.
  const known = (headers['if-none-match'] ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  if (known.includes(etag) || known.includes('*')) return reply.code(304).send();
  return reply.type(type).send(body);
}
