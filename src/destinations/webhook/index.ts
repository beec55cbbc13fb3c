import { z } from 'zod';
import { type Call, defineAdapter } from '../adapter.ts';
import { reachable } from '../reachable.ts';
import { classifyReceiver, postWebhook, SigningSecret, WebhookUrl } from '../standard-webhook.ts';
import { render, type WebhookPayload } from './render.ts';

/** Ours, or the connection's own. */
const reserved =
  /^(webhook-.*|content-(type|length|encoding)|idempotency-key|host|connection|keep-alive|transfer-encoding|upgrade|expect|te|trailer)$/i;

const HeaderName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/, 'is no header name')
  .refine((name) => !reserved.test(name), 'is set by the sender and cannot be overridden');

const Settings = z.strictObject({
  url: WebhookUrl,
  headers: z
    .record(
      HeaderName,
      z
        .string()
        .max(4096)
        .regex(/^[ -~\u00a0-\u00ff]*$/, 'may only contain printable Latin-1'),
    )
    .optional(),
});
type Settings = z.infer<typeof Settings>;

const Secrets = z.strictObject({ signingSecret: SigningSecret.optional() });
type Secrets = z.infer<typeof Secrets>;

const Receipt = z.looseObject({ at: z.string(), url: z.null(), status: z.int() });
type WebhookReceipt = z.infer<typeof Receipt>;

async function post(call: Call<Settings, Secrets, WebhookReceipt>, payload: WebhookPayload): Promise<WebhookReceipt> {
  const { settings, secrets, request, signal } = call;
  // One id for each revision: a receiver that drops what it has seen then misses no update. A full stop would
  // make the signed text "id.timestamp.body" ambiguous.
  const id = `${call.key}-${call.revision}`;
  const status = await postWebhook({ settings, secrets, id, body: JSON.stringify(payload), request, signal });
  return { at: new Date().toISOString(), url: null, status };
}

export const webhook = defineAdapter<Settings, Secrets, WebhookReceipt, WebhookPayload>({
  kind: 'webhook',
  settings: Settings,
  secrets: Secrets,
  receipt: Receipt,
  // Receivers tell repetitions by `webhook-id`: that is what Standard Webhooks asks of them.
  repeatable: ['deliver', 'revise', 'retract'],
  render,
  classify: classifyReceiver,
  deliver: post,
  revise: post,
  retract: post,
  credentialAdvice: 'Check url, headers and signingSecret with whoever runs the receiver.',
  check: async ({ settings, resolve }) => [await reachable(settings.url, resolve)],
});
