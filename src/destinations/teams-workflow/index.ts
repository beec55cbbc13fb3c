import { z } from 'zod';
import { type Call, defineAdapter } from '../adapter.ts';
import type { AdaptiveCard } from '../adaptive-card.ts';
import { reachable } from '../reachable.ts';
import { ReceiptText, ReceiptTime } from '../receipt.ts';
import { refusal } from './faults.ts';
import { compose, following, render, type WorkflowPayload } from './render.ts';

const Settings = z.strictObject({});

const Secrets = z.strictObject({
  url: z
    .url({
      protocol: /^https?$/,
      error: 'must be the URL that the flow shows under "When a Teams webhook request is received"',
    })
    .max(4096)
    .refine(
      (url) => !/\.webhook\.office\.com$/i.test(URL.parse(url)?.hostname ?? ''),
      'is an Office 365 connector; these were retired: make a flow from the template "Post to a channel when a webhook request is received"',
    ),
});

const Receipt = z.object({
  at: ReceiptTime,
  url: z.null(),
  /** The flow has been started. Whether it then posted the card, it does not say. */
  accepted: z.literal(true),
  runId: ReceiptText.optional(),
});

type Settings = z.infer<typeof Settings>;
type Secrets = z.infer<typeof Secrets>;
type Receipt = z.infer<typeof Receipt>;

/**
 * A flow of Power Automate that posts to Teams. It knows no keys, gives no message id and cannot be asked: what may have started it
 * is never repeated by itself.
 */
export const teamsWorkflow = defineAdapter<Settings, Secrets, Receipt, WorkflowPayload, AdaptiveCard>({
  kind: 'teams-workflow',
  settings: Settings,
  secrets: Secrets,
  receipt: Receipt,
  repeatable: [],
  compose,
  render,
  deliver: start,
  revise: (call, payload) => start(call, following(payload)),
  // Says itself that it takes the earlier message back.
  retract: start,

  // A flow can only be tried by starting it, which posts.
  credentialAdvice: 'Turn the flow on, and copy the URL of its trigger anew.',
  check: async ({ secrets, resolve }) => [await reachable(secrets.url, resolve)],

  budget: (_settings, { url }) => `teams-workflow ${url}`,
});

async function start(call: Call<Settings, Secrets, Receipt>, payload: WorkflowPayload): Promise<Receipt> {
  const response = await call.fetch(call.secrets.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(payload),
    signal: call.signal,
  });
  if (!response.ok) {
    const body = await response.text();
    throw refusal(response.status, body) ?? new Error(`The flow answered ${response.status}.`);
  }
  // Any 2xx has started the flow: 202 by default, another status where the flow has a Response action of its own. A body that is too
  // long, or never ends, must not turn that into a doubt.
  response.body?.cancel().catch(() => {});
  // The flow has started: an id that is too long is left out, rather than doubted with the whole reply.
  const runId = ReceiptText.safeParse(response.headers.get('x-ms-workflow-run-id'));
  return { at: new Date().toISOString(), url: null, accepted: true, ...(runId.success ? { runId: runId.data } : {}) };
}
