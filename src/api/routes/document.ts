import swaggerUi from '@fastify/swagger-ui';
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

/** The API's own description, for programs and for people. Everything the page needs comes from this server. */
export async function documentRoutes(app: App): Promise<void> {
  let yaml: string | undefined;
  app.get('/openapi.yaml', { schema: { hide: true } }, async (_request, reply) => {
    // Written once: it takes 30 ms, and anybody may ask.
    yaml ??= openapiYaml(app);
    return reply.type('application/yaml; charset=utf-8').serializer(String).send(yaml);
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: contentSecurityPolicy,
    uiConfig: { deepLinking: true, persistAuthorization: false },
    theme: { title: 'Tocsin API' },
  });
}
