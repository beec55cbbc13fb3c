import { Webhook } from 'standardwebhooks';
import type { Sandbox, WebhookDelivery } from '../index.ts';
import type { Broadcast } from './narrate.ts';
import { callbackName, callbackSecret, message, type Place } from './scene.ts';
import { paint, type Screen } from './screen.ts';

/** What people see at each place; complains of every one that does not hold exactly the one message. */
export function showPlaces(screen: Screen, sandbox: Sandbox, places: readonly Place[]): string[] {
  screen.print(paint('bold', 'What people see:'));
  return places.flatMap(({ name, service, seen }) => {
    const messages = seen();
    const requests = sandbox.requests(service).filter(({ place }) => place !== callbackName).length;
    const asked = paint('dim', `${requests} request${requests === 1 ? '' : 's'}`);
    screen.print(
      `  ${name.padEnd(20)} ${messages.map((text) => `“${shortened(text)}”`).join(', ') || 'nothing'}  ${asked}`,
    );
    const right = messages.length === 1 && messages[0]?.includes(message.title);
    return right ? [] : [`${name} shows ${messages.length} messages, instead of this one alone`];
  });
}

/** The callback as its receiver gets it; complains unless exactly one came and its signature verifies. */
export async function showCallback(screen: Screen, sandbox: Sandbox, { id }: Broadcast): Promise<string[]> {
  const arrived = () => sandbox.webhook.deliveries(callbackName);
  const first = await sandbox.until(() => arrived()[0], { timeoutMs: 20_000 }).catch(() => undefined);
  if (!first) return ['the callback did not arrive'];
  const body = verified(first);
  if (!body) return ["the callback's signature does not verify"];
  screen.print(`${paint('bold', 'Your callback arrived')}, and its signature verifies (Standard Webhooks):`);
  screen.print(`  ${paint('cyan', body.type)}  ${body.data.state}: ${body.data.summary}`);
  const wrong = [];
  if (arrived().length !== 1) wrong.push(`the callback came ${arrived().length} times`);
  if (body.type !== 'broadcast.converged' || body.data.id !== id) wrong.push('the callback speaks of something else');
  return wrong;
}

function verified({ raw, headers }: WebhookDelivery): { type: string; data: Broadcast } | null {
  try {
    return new Webhook(callbackSecret).verify(raw.toString(), headers) as { type: string; data: Broadcast };
  } catch {
    return null;
  }
}

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
