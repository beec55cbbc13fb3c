import { LogLevel, WebClient } from '@slack/web-api';
import { z } from 'zod';
import type { Call, Place } from '../adapter.ts';
import { permalink, ReceiptTime, ReceiptUrl } from '../receipt.ts';
import { ServiceUrl, serviceOf } from '../service-url.ts';

const Channel = z.string().regex(/^[\w-]{1,80}$/, 'must be a channel id such as C0123456789');
const Timestamp = z.string().regex(/^\d{1,20}\.\d{1,20}$/);

export const Settings = z.strictObject({
  channel: Channel.describe(
    'Id of the channel (C…), from its "About" tab. Slack posts to a name too, but cannot be asked by one.',
  ),
  apiUrl: ServiceUrl.default('https://slack.com/api/'),
});
export type Settings = z.infer<typeof Settings>;

export const Secrets = z.strictObject({ token: z.string().min(1).describe('Bot token (xoxb-…).') });
export type Secrets = z.infer<typeof Secrets>;

export const Receipt = z.object({
  at: ReceiptTime,
  url: ReceiptUrl,
  channel: Channel,
  ts: Timestamp,
  /** The first message of the thread that this one is a reply in. */
  thread: Timestamp.optional(),
});
export type SlackReceipt = z.infer<typeof Receipt>;
export type SlackCall = Call<Settings, Secrets, SlackReceipt>;

/** Channel ids are unique in all of Slack, so that another token may be asked about the channel; another server may not. */
export function placeOf({ apiUrl, channel }: Settings): Place {
  return { service: serviceOf(apiUrl), channel };
}

const silent = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  setLevel() {},
  setName() {},
  getLevel: () => LogLevel.ERROR,
};

/**
 * One client per call: its queue, and a pause of it, is then nobody else's. Left to its defaults it repeats a lost post up to ten times, and
 * with repeats off but `rejectRateLimitedCalls` too it sleeps out the whole Retry-After before it fails.
 */
export function clientOf(call: Pick<SlackCall, 'settings' | 'secrets' | 'fetch'>): WebClient {
  const { apiUrl } = call.settings;
  return new WebClient(call.secrets.token, {
    slackApiUrl: apiUrl.endsWith('/') ? apiUrl : `${apiUrl}/`,
    retryConfig: { retries: 0 },
    rejectRateLimitedCalls: true,
    allowAbsoluteUrls: false,
    logger: silent,
    fetch: (url, init) => call.fetch(url, init as RequestInit),
  });
}

/**
 * Derived, because asking for the permalink would be a second request. Without the workspace's own host, slack.com redirects to the
 * workspace in which the reader is signed in.
 */
export function receiptOf(settings: Settings, channel: string, ts: string, at: Date, thread?: string): SlackReceipt {
  const base = new URL(settings.apiUrl);
  const path = `${base.pathname.replace(/\/?api\/?$/, '')}/archives/${channel}/p${ts.replace('.', '')}`;
  const query = thread ? `?thread_ts=${thread}&cid=${channel}` : '';
  const url = permalink(`${base.origin}${path}${query}`);
  return { at: at.toISOString(), url, channel, ts, ...(thread && { thread }) };
}
