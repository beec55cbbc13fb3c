import { z } from 'zod';
import { defineAdapter } from '../adapter.ts';
import { classifyReceiver, postWebhook, SigningSecret, WebhookUrl } from '../standard-webhook.ts';

const Settings = z.strictObject({ url: WebhookUrl });
const Secrets = z.strictObject({ signingSecret: SigningSecret.optional() });
const Receipt = z.looseObject({ at: z.string(), url: z.null(), status: z.int() });

/** Tells the sender of a broadcast what became of it. Nobody configures it as a destination. */
export const callback = defineAdapter<
  z.infer<typeof Settings>,
  z.infer<typeof Secrets>,
  z.infer<typeof Receipt>,
  string
>({
  kind: 'callback',
  settings: Settings,
  secrets: Secrets,
  receipt: Receipt,
  repeatable: ['deliver'],
  classify: classifyReceiver,

  render({ event }) {
    if (!event) throw new Error('There is no event to hand over.');
    return JSON.stringify(event);
  },

  async deliver({ settings, secrets, key, request, signal }, body) {
    // One delivery is one event: its id is the same on every attempt. What the event tells of the broadcast may be newer each time.
    const status = await postWebhook({ settings, secrets, id: key, body, request, signal });
    return { at: new Date().toISOString(), url: null, status };
  },
});
