import { isUtf8 } from 'node:buffer';
import Fastify, { type FastifyBaseLogger, LogController } from 'fastify';
import { newId } from '../ids.ts';
import { openDatabase } from '../ledger/database.ts';
import { measureBacklog } from '../ledger/measure-backlog.ts';
import { createAdmission } from './admission.ts';
import { type Caller, createGate, type Scope } from './auth.ts';
import { watchBacklog } from './backlog.ts';
import { parseJson } from './json.ts';
import { allowedMethods } from './methods.ts';
import { createMetrics } from './metrics.ts';
import { registerDocument } from './openapi.ts';
import type { App, Parts } from './parts.ts';
import { invalid, Problem, sendProblem } from './problems.ts';
import { audienceRoutes } from './routes/audiences.ts';
import { broadcastChangeRoutes } from './routes/broadcast-changes.ts';
import { broadcastRoutes } from './routes/broadcasts.ts';
import { deliveryRoutes } from './routes/deliveries.ts';
import { deliveryRetryRoutes } from './routes/delivery-retries.ts';
import { destinationActionRoutes } from './routes/destination-actions.ts';
import { destinationRoutes } from './routes/destinations.ts';
import { documentRoutes } from './routes/document.ts';
import { eventStreamRoutes } from './routes/event-stream.ts';
import { healthRoutes } from './routes/health.ts';
import { keyRoutes } from './routes/keys.ts';
import { previewRoutes } from './routes/previews.ts';
import { cutStalled } from './stalled.ts';
import { asProblem } from './translate.ts';
import { asParameter, unacceptable, validatorCompiler } from './validation.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Which scope a key needs, or one of which. Behind the gate, a route that names none needs `admin`. */
    scope?: Scope | readonly Scope[];
  }
  interface FastifyRequest {
    bodyHash: Buffer;
    /** Whose key it came with. Only behind the gate. */
    caller: Caller;
  }
}

/** The largest body, in bytes: a broadcast with everything at its limit is about 300 KB. */
const bodyLimit = 1024 * 1024;
const saneCorrelationId = /^[\w.:/+=@-]{1,128}$/;

/** The application apart from the process: it has no port until somebody listens, and tests inject. */
export async function buildApp(parts: Parts): Promise<App> {
  const { config, db, log } = parts;
  const app: App = Fastify({
    loggerInstance: log as FastifyBaseLogger,
    // One line of ours per answer instead of two.
    logController: new LogController({ disableRequestLogging: true }),
    // Each log line names its request. A child logger for each request would cost more than the line.
    childLoggerFactory: (logger) => logger,
    bodyLimit,
    // A client that sends slowly must not hold a connection for ever.
    requestTimeout: 60_000,
    requestIdHeader: false,
    genReqId: ({ headers }) => {
      const given = headers['x-correlation-id'];
      return typeof given === 'string' && saneCorrelationId.test(given) ? given : newId('req');
    },
    routerOptions: { ignoreTrailingSlash: true },
    frameworkErrors: (error, _request, reply) => {
      sendProblem(reply, asProblem(error));
    },
  });
  // Requests without a key share these two connections. They never wait for, or take, those that broadcasts are recorded on.
  const openDb = openDatabase(db.options.connectionString ?? '', { max: 2, name: 'tocsin-open' });
  app.addHook('onClose', () => openDb.end());
  const metrics = createMetrics(openDb, parts.registry);
  const gate = createGate(db, config.apiKey);
  const methodsOf = allowedMethods(app);

  app.setValidatorCompiler(validatorCompiler as never);
  // What routes answer is checked by the compiler and by tests; doing it again on every answer would cost a tenth of the throughput.
  app.setSerializerCompiler(() => JSON.stringify);
  onlyJson(app);
  cutStalled(app);
  app.decorateRequest('bodyHash', null as unknown as Buffer);
  app.decorateRequest('caller', null as unknown as Caller);

  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-correlation-id', request.id);
  });
  app.addHook('preValidation', async ({ body, query, params }) => {
    const flaw = unacceptable(body);
    if (flaw) throw invalid([flaw]);
    const parameter = unacceptable(params) ?? unacceptable(query);
    if (parameter) throw invalid([asParameter(parameter)]);
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'unknown';
    const ms = Math.round(reply.elapsedTime * 10) / 10;
    metrics.answered(route, request.method, reply.statusCode, ms / 1000);
    // Probes and scrapes come every few seconds, and tell nothing when they succeed.
    const level = request.routeOptions.config.scope || reply.statusCode >= 400 ? 'info' : 'debug';
    log[level]({ correlationId: request.id, method: request.method, route, status: reply.statusCode, ms }, 'answered');
  });
  app.setErrorHandler((error, request, reply) => {
    const problem = asProblem(error);
    // Shedding is a choice and not a fault, and must cost little: its answers are logged like any other.
    const isFault = problem.status >= 500 && problem.code !== 'overloaded';
    if (isFault) log.error({ correlationId: request.id, err: problem.cause ?? problem }, 'failed');
    return sendProblem(reply, problem);
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? '/';
    const methods = methodsOf(path);
    if (methods.length === 0)
      return sendProblem(reply, new Problem(404, 'not-found', `There is nothing at ${path}. /docs lists every route.`));
    const allow = methods.join(', ');
    const detail = `${path} does not take ${request.method}. It takes ${allow}.`;
    return sendProblem(reply, new Problem(405, 'method-not-allowed', detail, { headers: { allow } }));
  });

  await registerDocument(app);
  await app.register(async (open: App) => {
    healthRoutes(open, { db: openDb, reachQueue: parts.reachQueue }, metrics);
    await documentRoutes(open);
  });
  await app.register(async (gated: App) => {
    gated.addHook('onRequest', (request) => gate.admit(request, request.routeOptions.config.scope ?? 'admin'));
    const limits = { underWay: 1_000, patienceMs: 2_000, backlog: config.maxBacklog };
    const admission = createAdmission(
      limits,
      watchBacklog(() => measureBacklog(db)),
    );
    broadcastRoutes(gated, parts, metrics, admission, gate);
    broadcastChangeRoutes(gated, parts);
    previewRoutes(gated, parts, admission);
    deliveryRoutes(gated, parts);
    deliveryRetryRoutes(gated, parts);
    destinationRoutes(gated, parts);
    destinationActionRoutes(gated, parts);
    audienceRoutes(gated, parts);
    keyRoutes(gated, parts, gate);
    eventStreamRoutes(gated, parts, gate);
  });
  return app;
}

/** Bodies are JSON in UTF-8. An empty one is none at all, whatever its content type: clients set that for every request. */
function onlyJson(app: App): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => {
    if (body.length === 0) return undefined;
    if (!isUtf8(body)) throw new Problem(400, 'malformed-json', 'The body is not UTF-8: encode it so.');
    return parseJson(body.toString());
  });
}
