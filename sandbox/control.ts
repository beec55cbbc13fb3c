import { z } from 'zod';
import type { Fault, Faults } from './faults.ts';
import { page } from './page.ts';
import type { Records } from './records.ts';
import type { Answer, Call, Service } from './standin.ts';

export interface Controls {
  faults: Faults;
  records: Records;
  state: () => Record<string, unknown>;
  reset: () => void;
  changed: () => void;
  url: () => string;
}

export const SERVICES = [
  'slack',
  'graph',
  'jira',
  'webhook',
  'pagerduty',
  'workflow',
  'smtp',
] as const satisfies Service[];

const aim = {
  times: z
    .union([z.literal('forever'), z.int().positive()])
    .transform((times) => (times === 'forever' ? Number.POSITIVE_INFINITY : times))
    .optional(),
  on: z.enum(['write', 'read', 'any']).optional(),
  place: z.string().min(1).optional(),
  probability: z.number().min(0).max(1).optional(),
  after: z.int().nonnegative().optional(),
};
const status = z.int().min(200).max(599);
const ms = z.int().min(0).max(3_600_000);
const kind = <Name extends Fault['do'], Shape extends z.ZodRawShape>(name: Name, shape: Shape) =>
  z.strictObject({ do: z.literal(name), ...shape, ...aim });

const fault = z.discriminatedUnion('do', [
  kind('refuse', { status, headers: z.record(z.string(), z.string()).optional(), body: z.unknown().optional() }),
  kind('rateLimit', {
    retryAfter: z.union([z.number().nonnegative(), z.string(), z.null()]).optional(),
    reason: z.string().optional(),
  }),
  kind('error', { code: z.string().min(1) }),
  kind('drop', {}),
  kind('stall', {}),
  kind('swallow', {}),
  kind('swallowStall', {}),
  kind('slow', { ms }),
  kind('late', { ms }),
  kind('failAfterApply', { status }),
  kind('garble', { body: z.enum(['html', 'truncated', 'empty', 'text']), status: status.optional() }),
  kind('breakOff', {}),
  kind('answer', { body: z.unknown(), headers: z.record(z.string(), z.string()).optional() }),
  kind('bomb', { encoding: z.enum(['gzip', 'br']).optional(), megabytes: z.int().min(1).max(1_024).optional() }),
  kind('drip', { everyMs: z.int().min(10).max(60_000).optional() }),
]);
const service = z.enum(SERVICES);
const order = z.strictObject({ service, faults: z.array(fault).min(1) });

/** Everything outside the stand-ins: the page for people and the controls for other processes. */
export function createControl(controls: Controls): (call: Call) => Answer {
  return (call) => {
    const path = call.path.split('?')[0];
    switch (`${call.method} ${path}`) {
      case 'GET /':
        return { status: 200, headers: { 'content-type': 'text/html; charset=utf-8' }, body: page(controls) };
      case 'GET /control/state':
        return { status: 200, body: controls.state() };
      case 'GET /control/requests': {
        const asked = service.optional().safeParse(call.query.get('service') ?? undefined);
        return asked.success
          ? { status: 200, body: controls.records.all(asked.data) }
          : refusal('service', asked.error);
      }
      case 'GET /control/faults':
        return { status: 200, body: Object.fromEntries(SERVICES.map((name) => [name, queued(controls, name)])) };
      case 'POST /control/faults': {
        // A page of another site may send text or a form to loopback unasked, but JSON only after asking, which is never allowed here.
        if (!/^application\/json\b/i.test(call.headers['content-type'] ?? '')) {
          const error = 'The body is not marked as JSON.';
          return { status: 415, body: { error, remedy: 'Send the header content-type: application/json.' } };
        }
        const asked = order.safeParse(call.body);
        if (!asked.success) return refusal('', asked.error);
        controls.faults.add(asked.data.service, asked.data.faults);
        return { status: 200, body: { service: asked.data.service, faults: queued(controls, asked.data.service) } };
      }
      case 'DELETE /control/faults': {
        const asked = service.optional().safeParse(call.query.get('service') ?? undefined);
        if (!asked.success) return refusal('service', asked.error);
        controls.faults.clear(asked.data);
        return { status: 204 };
      }
      case 'POST /control/reset':
        controls.reset();
        return { status: 204 };
      default:
        // Permalinks lead to the page, where the message stands.
        if (/^GET \/(slack\/archives|teams|jira\/browse)\//.test(`${call.method} ${path}`)) {
          return { status: 302, headers: { location: '/' } };
        }
        return {
          status: 404,
          body: { error: `Nothing at ${call.method} ${path}`, remedy: `GET ${controls.url()}/ says what there is` },
        };
    }
  };
}

/** JSON has no Infinity. */
function queued({ faults }: Controls, name: Service): object[] {
  return faults
    .queued(name)
    .map((each) => ({ ...each, times: each.times === Number.POSITIVE_INFINITY ? 'forever' : each.times }));
}

function refusal(root: string, error: z.ZodError): Answer {
  const wrong = error.issues.map((issue) => ({
    field: issue.path.length > 0 ? issue.path.join('.') : root || 'the body',
    problem: issue.message,
  }));
  const example = '{"service":"slack","faults":[{"do":"rateLimit","retryAfter":2,"times":3}]}';
  const remedy = `Services: ${SERVICES.join(', ')}. A good order: ${example}`;
  return { status: 400, body: { error: `${wrong[0]?.field}: ${wrong[0]?.problem}`, wrong, remedy } };
}
