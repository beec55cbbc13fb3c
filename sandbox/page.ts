import type { Controls } from './control.ts';
import { type Fields, fields, list } from './standin.ts';

/** What a person would see in every place, newest first, as one page without scripts. */
export function page({ state, records, faults, url }: Controls): string {
  const now = state();
  const cards = [
    ...places('Slack', now.slack, (post) => [post.text, `${post.ts}${post.edited ? ' · edited' : ''}`]),
    ...list(now.graph).map((each) => {
      const { channelId, posts } = fields(each);
      const lines = list(posts)
        .map(fields)
        .flatMap((post) => [teams(post, ''), ...list(post.replies).map((reply) => teams(fields(reply), '↳ '))]);
      return card(`Teams · ${channelId}`, lines);
    }),
    ...places('Workflow', now.workflow, (post) => [words(post.card), post.runId]),
    ...(list(now.jira).length > 0 ? [card('Jira', list(now.jira).map(fields).map(issue))] : []),
    ...(list(now.pagerduty).length > 0 ? [card('PagerDuty', list(now.pagerduty).map(fields).map(alert))] : []),
    ...places('Webhook', now.webhook, (delivery) => [delivery.raw, delivery.id ?? 'no webhook-id']),
    ...places('Mailbox', now.smtp, (mail) => [fields(mail.headers).subject, fields(mail.headers)['message-id']]),
  ];
  const requests = records
    .all()
    .slice(-20)
    .map(({ service, method, path, status, fault }) =>
      entry(`${service} ${method} ${path}`, `${status ?? 'no answer'}${fault === null ? '' : ` · ${fault}`}`),
    );
  const waiting = (['slack', 'graph', 'jira', 'webhook', 'pagerduty', 'workflow', 'smtp'] as const).flatMap((service) =>
    faults.queued(service).map((fault) => entry(`${service}: ${fault.do}`, `${fault.times ?? 1} more`)),
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>Tocsin sandbox</title>
<style>
  body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1d232b; background: #f6f7f9 }
  main { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem }
  section { background: #fff; border: 1px solid #dde1e7; border-radius: .5rem; padding: .75rem 1rem; overflow: hidden }
  h1 { font-size: 1.4rem } h2 { font-size: 1rem; margin: 0 0 .5rem } ul { list-style: none; margin: 0; padding: 0 }
  li { padding: .35rem 0; border-top: 1px solid #eef0f3; overflow-wrap: anywhere } small { color: #5b6673; display: block }
  pre { background: #1d232b; color: #e8ecf1; padding: .75rem; border-radius: .5rem; overflow: auto }
</style></head><body>
<h1>Tocsin sandbox</h1>
<p>Stand-ins for the services Tocsin speaks to. This is what people would see there; it looks again every two seconds.</p>
<main>${cards.join('\n') || '<section>Nothing has been posted yet.</section>'}</main>
<h2>Make a service misbehave</h2>
<pre>curl ${escaped(url())}/control/faults -H 'content-type: application/json' \\
  -d '{"service":"slack","faults":[{"do":"swallow"},{"do":"rateLimit","retryAfter":2,"times":3}]}'
curl -X DELETE '${escaped(url())}/control/faults?service=slack'      # behave again
curl -X POST ${escaped(url())}/control/reset                          # start over</pre>
<main>${card('Faults waiting', waiting)}${card('Latest requests', requests)}</main>
</body></html>`;
}

type Entry = string;

function places(name: string, state: unknown, show: (item: Fields) => [unknown, unknown]): string[] {
  return Object.entries(fields(state)).map(([place, items]) =>
    card(
      `${name} · ${place}`,
      list(items).map((item) => entry(...show(fields(item)))),
    ),
  );
}

function card(title: string, entries: Entry[]): string {
  return `<section><h2>${escaped(title)}</h2><ul>${entries.toReversed().join('') || '<li>none</li>'}</ul></section>`;
}

function entry(said: unknown, note: unknown): Entry {
  return `<li>${escaped(String(said ?? '').slice(0, 600))}<small>${escaped(String(note ?? ''))}</small></li>`;
}

function teams(post: Fields, before: string): Entry {
  const cards = list(post.attachments).map((attachment) => words(parsed(fields(attachment).content)));
  const said = String(fields(post.body).content ?? '').replace(/<[^>]*>/g, ' ');
  return entry(`${before}${[post.subject, said, ...cards].filter(Boolean).join(' ')}`, post.id);
}

function issue(each: Fields): Entry {
  const note = `${each.status} · ${list(each.labels).join(' ')} · ${list(each.comments).length} comments`;
  return entry(`${each.key} ${each.summary}`, note);
}

function alert(each: Fields): Entry {
  return entry(fields(each.payload).summary, `${each.state} · ${each.triggers} triggers · ${each.dedupKey}`);
}

/** Every text in a card, in reading order. */
function words(value: unknown): string {
  if (Array.isArray(value)) return value.map(words).filter(Boolean).join(' · ');
  const node = fields(value);
  const own = [node.text, node.title, node.value].filter((each) => typeof each === 'string');
  return [...own, words(node.body ?? node.items ?? node.facts ?? node.columns ?? [])].filter(Boolean).join(' · ');
}

function parsed(value: unknown): unknown {
  try {
    return JSON.parse(String(value));
  } catch {
    return value;
  }
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
