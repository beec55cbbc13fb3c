import { randomUUID } from 'node:crypto';
import { type Answer, append, type Call, type Fields, fields, isFields, list, type StandIn } from '../standin.ts';

export interface WorkflowPost {
  at: Date;
  /** What the caller got as x-ms-workflow-run-id. */
  runId: string;
  card: Fields;
}

export interface WorkflowView {
  /** The cards this flow posted, oldest first. */
  posts: (name: string) => WorkflowPost[];
}

const CARD = 'application/vnd.microsoft.card.adaptive';
const LARGEST_BYTES = 28 * 1024;

export function createWorkflow(): { standIn: StandIn; view: WorkflowView } {
  const flows = new Map<string, WorkflowPost[]>();
  const posts = (name: string) => structuredClone(flows.get(name) ?? []);

  const trigger = (name: string, call: Call): Answer => {
    if (name === '' || call.segments.slice(1).join('/') !== 'triggers/manual/paths/invoke') {
      return no(404, 'WorkflowNotFound', `The workflow '${name}' could not be found.`);
    }
    if (name.startsWith('off')) {
      return no(
        404,
        'WorkflowTriggerIsNotEnabled',
        `Could not execute workflow '${name}': its trigger is not enabled.`,
      );
    }
    if (!call.query.get('sig')) {
      return no(
        401,
        'DirectApiAuthorizationRequired',
        "The request must be authenticated with the 'sig' query parameter.",
      );
    }
    if (call.method !== 'POST') return no(405, 'MethodNotAllowed', `The trigger takes POST, not ${call.method}.`);
    if (call.raw.length > LARGEST_BYTES) return no(413, 'RequestEntityTooLarge', 'The request is larger than 28 KB.');
    const cards = list(fields(call.body).attachments).map(fields);
    const isMessage = fields(call.body).type === 'message' && cards.length > 0;
    if (!isMessage || !cards.every((card) => card.contentType === CARD && isCard(card.content))) {
      return no(400, 'TriggerInputSchemaMismatch', 'The input is no message with an adaptive card in its attachments.');
    }
    const runId = randomUUID().replaceAll('-', '').toUpperCase();
    const posted = cards.map((card) => ({ at: new Date(), runId, card: fields(card.content) }));
    append(flows, name, ...posted);
    const headers = {
      'x-ms-workflow-run-id': runId,
      'x-ms-client-tracking-id': runId,
      'x-ms-correlation-id': randomUUID(),
    };
    return { status: 202, headers };
  };
  const standIn: StandIn = {
    service: 'workflow',
    prefix: '/workflows/',
    plan(call) {
      const name = call.segments[0] ?? '';
      return { places: name === '' ? [] : [name], writes: true, apply: () => trigger(name, call) };
    },
    refusal: (status) =>
      no(status, status >= 500 ? 'InternalServerError' : 'BadRequest', `The service answered ${status}.`),
    limited: () => no(429, 'TooManyRequests', 'The number of requests exceeded the limit.'),
    error: (code) => no(code === 'WorkflowTriggerIsNotEnabled' ? 404 : 400, code, `The service answered ${code}.`),
    state: () => Object.fromEntries(flows),
    reset: () => flows.clear(),
  };
  return { standIn, view: { posts } };
}

function isCard(content: unknown): boolean {
  return isFields(content) && content.type === 'AdaptiveCard' && Array.isArray(content.body);
}

function no(status: number, code: string, message: string): Answer {
  return { status, body: { error: { code, message } } };
}
