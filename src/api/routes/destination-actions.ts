import { z } from 'zod';
import { adapters } from '../../destinations/registry.ts';
import { pauseDestination } from '../../ledger/pause-destination.ts';
import { resumeDestination } from '../../ledger/resume-destination.ts';
import { destinationSecrets } from '../../secrets.ts';
import { Name } from '../broadcast-body.ts';
import { Destination, mustReadDestination, representDestination } from '../destination-view.ts';
import type { App, Parts } from '../parts.ts';
import { checkDestination, sendTest } from '../preflight.ts';
import { notFound, Problem, problems } from '../problems.ts';
import { Fault, Receipt } from '../schemas.ts';

const tags = ['destinations'];
const params = z.object({ name: Name });

const TestResult = z
  .object({
    ok: z.boolean(),
    checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string() })),
    sent: z
      .object({ receipt: Receipt.nullable(), error: Fault.nullable() })
      .nullable()
      .describe('The test message, when one was asked for.'),
  })
  .meta({ id: 'TestResult' });

export function destinationActionRoutes(app: App, parts: Parts): void {
  const { db, vault, network } = parts;
  const read = async (name: string) => representDestination(await mustReadDestination(parts, name), vault);

  app.post(
    '/destinations/:name/test',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'testDestination',
        summary: 'Check credentials and permissions',
        description: 'Sends nothing unless asked to; a test message is not recorded as a broadcast.',
        tags,
        params,
        body: z.strictObject({ send: z.boolean().default(false) }).optional(),
        response: { 200: TestResult, ...problems(400, 401, 403, 404, 503) },
      },
    },
    async (request) => {
      const { name } = request.params;
      const { kind, settings, secrets, policy } = await mustReadDestination(parts, name);
      const adapter = adapters[kind];
      if (!adapter) throw new Problem(409, 'unknown-kind', `This version of Tocsin does not speak ${kind}.`);
      const opened = vault.open(secrets, destinationSecrets(name));
      const tested = { adapter, name, settings, secrets: opened, timeoutMs: policy.timeoutMs };
      const checks = await checkDestination(tested, network);
      const sent = request.body?.send ? await sendTest(tested, network, request.id) : null;
      const ok = checks.every((check) => check.ok) && !sent?.error;
      return { ok, checks, sent: sent && { receipt: sent.receipt, error: sent.error && shown(sent.error) } };
    },
  );

  app.post(
    '/destinations/:name/pause',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'pauseDestination',
        summary: 'Hold everything for a destination',
        description: 'Broadcasts to it are still accepted; their deliveries are held until it is resumed.',
        tags,
        params,
        body: z.strictObject({ reason: z.string().min(1).max(500).optional() }).optional(),
        response: { 200: Destination, ...problems(400, 401, 403, 404, 503) },
      },
    },
    async (request) => {
      const { name } = request.params;
      if (!(await pauseDestination(db, name, request.body?.reason ?? null))) throw notFound(`destination ${name}`);
      return read(name);
    },
  );

  app.post(
    '/destinations/:name/resume',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'resumeDestination',
        summary: 'Let what was held go on',
        tags,
        params,
        body: z.strictObject({}).optional(),
        response: { 200: Destination, ...problems(400, 401, 403, 404, 503) },
      },
    },
    async (request) => {
      const { name } = request.params;
      if (!(await resumeDestination(db, name))) throw notFound(`destination ${name}`);
      return read(name);
    },
  );
}

function shown({ class: faultClass, reason, message, status }: z.output<typeof Fault>) {
  return { class: faultClass, reason, message, status };
}
