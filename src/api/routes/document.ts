import swaggerUi from '@fastify/swagger-ui';
import { openapiYaml } from '../openapi.ts';
import type { App } from '../parts.ts';

/** The API's own description, for programs and for people. Everything the page needs comes from this server. */
export async function documentRoutes(app: App): Promise<void> {
  app.get('/openapi.yaml', { schema: { hide: true } }, async (_request, reply) =>
    reply.type('application/yaml; charset=utf-8').serializer(String).send(openapiYaml(app)),
  );
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    uiConfig: { deepLinking: true, persistAuthorization: false },
    theme: { title: 'Tocsin API' },
  });
}
