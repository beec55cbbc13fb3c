import { describe, expect, test } from 'vitest';
import type { Adapter } from '../../src/destinations/adapter.ts';
import { adapters } from '../../src/destinations/registry.ts';
import type { Message } from '../../src/message.ts';
import { hostileBodies } from './bodies.ts';
import { monster, noticeOf, rendered as renderedBy } from './suite.ts';

const settings: Record<string, object> = {
  slack: { channel: 'C0INCIDENTS', apiUrl: 'https://slack.com/api/' },
  jira: { apiUrl: 'https://you.atlassian.net', projectKey: 'OPS', issueType: 'Bug' },
  email: { from: 'tocsin@example.com', to: ['ops@example.com'] },
};

const rendered = (kind: string, message: Partial<Message>, rest = {}) => {
  const notice = noticeOf('dl_1', message, { topic: 'INC-1234', ...rest });
  return renderedBy(adapters[kind] as Adapter, notice, settings[kind] ?? {});
};

const kinds = Object.keys(adapters);

/** What the services take, in characters of JSON. */
const limits: Record<string, number> = { slack: 16_000, teams: 28 * 1024, 'teams-workflow': 25 * 1024 };

const rich: Partial<Message> = {
  title: 'P1: checkout is down — 42 % of payments fail',
  severity: 'critical',
  body: [
    '## What happens',
    'Error rate **42 %** since *14:02*; ~~retries~~ do `not` help. See [the graph](https://grafana.example.com/d?a=1&b=2).',
    '1. Rolled back `checkout@4f2a`\n2. Failed over\n   - [x] DNS switched\n   - [ ] caches warmed',
    '> No incident here\n> — status page',
    '```sql\nselect *\n  from payments;\n```',
    '| Region | Errors |\n|---|---:|\n| eu-west-1 | 42 % |\n| us-east-1 | 3 % |',
    '![graph](https://img.example.com/errors.png) <b>html</b> & R&D',
    'العربية: الدفع متعطل 👩‍👩‍👧‍👦',
    '---',
  ].join('\n\n'),
  fields: [
    { name: 'Service', value: 'checkout' },
    { name: 'Impact', value: 'Card payments in Europe' },
  ],
  links: [{ text: 'Runbook', url: 'https://runbooks.example.com/checkout?a=1&b=2' }],
};

/** Everything a person, or the service's own parser, reads. */
function texts(value: unknown): string[] {
  if (typeof value === 'string') return value.startsWith('{') ? texts(JSON.parse(value)) : [value];
  return value !== null && typeof value === 'object' ? Object.values(value).flatMap(texts) : [];
}

/** What a card reads as Markdown. */
function marked(payload: unknown): string[] {
  const found: string[] = [];
  const card = typeof payload === 'string' ? JSON.parse(payload) : payload;
  for (const [name, value] of Object.entries(card ?? {})) {
    if ((name === 'content' && String(value).startsWith('{')) || (typeof value === 'object' && value !== null))
      found.push(...marked(value));
    else if (card.type === 'TextBlock' || 'value' in card) found.push(String(value));
  }
  return found;
}

describe.each(kinds)('%s', (kind) => {
  test('shows a message with everything in it', () => {
    expect(rendered(kind, rich)).toMatchSnapshot();
  });

  test('says that a message was taken back', () => {
    expect(rendered(kind, { ...rich, body: 'Wrong **alarm**.' }, { retracted: true, revision: 2 })).toMatchSnapshot();
  });

  test('says by what to ask for it, and how bad it is, without colours', () => {
    const all = texts(rendered(kind, rich)).join('\n');
    for (const part of ['INC-1234', 'bc_test']) expect(all).toContain(part);
    expect(all.toLowerCase()).toContain('critical');
  });

  test.each([
    '<!channel> & *x*',
    '<!here> <@U123> <!subteam^S1|ops>',
    '@everyone @channel @here',
    '<at>all</at>',
    '[x](javascript:alert(1))',
    '<script>alert(1)</script>',
    '\u202eevil\u202c \u0001',
  ])('lets %j ping nobody and break nothing', (text) => {
    const payload = rendered(kind, {
      title: text,
      body: text,
      fields: [{ name: text, value: text }],
      links: [{ text, url: 'https://example.com/' }],
    });
    const all = texts(payload);
    const source = all.join('\n');
    // Plain texts may hold anything; these are the forms that would do something.
    expect(source).not.toMatch(/<javascript:|href="javascript:/);
    if (kind.startsWith('teams')) expect(JSON.stringify(marked(payload))).not.toMatch(/(?<!\\)\]\(javascript:/);
    if (kind === 'slack') for (const each of all) expect(each).not.toMatch(/<[!@#]/);
    if (kind.startsWith('teams')) expect(JSON.stringify(payload)).not.toMatch(/"entities"|"mentions"/);
    if (kind === 'jira') expect(JSON.stringify(payload)).not.toMatch(/"mention"|"javascript:/);
    if (kind === 'email') expect((payload as { html: string }).html).not.toMatch(/<(script|at)\b/);
  });

  test('never cuts a character in two', () => {
    for (const each of texts(rendered(kind, monster))) expect(each.isWellFormed()).toBe(true);
  });

  test.each(Object.entries(hostileBodies))('shows a body of %s, and where it was cut', (_, body) => {
    const payload = rendered(kind, { body });
    expect(texts(payload).join('\n').replaceAll('&gt;', '>')).toContain(body.slice(0, 1));
    expect(JSON.stringify(payload).length).toBeLessThan(limits[kind] ?? 400_000);
  });
});

describe('a card', () => {
  const cardOf = (message: Partial<Message>) => {
    const { attachments } = rendered('teams', message) as { attachments: { content: string }[] };
    return JSON.parse(attachments[0]?.content ?? '') as Element;
  };
  type Element = {
    type: string;
    body?: Element[];
    items?: Element[];
    actions?: Element[];
    [property: string]: unknown;
  };

  /** https://adaptivecards.io/explorer/ */
  const known: Record<string, string[]> = {
    AdaptiveCard: ['type', '$schema', 'version', 'fallbackText', 'body', 'actions', 'msteams'],
    Container: ['type', 'id', 'style', 'bleed', 'items'],
    TextBlock: ['type', 'text', 'wrap'],
    RichTextBlock: ['type', 'inlines'],
    TextRun: ['type', 'text', 'weight', 'size', 'isSubtle', 'strikethrough', 'fontType'],
    FactSet: ['type', 'facts'],
    'Action.OpenUrl': ['type', 'title', 'url'],
  };

  function check(element: Element): void {
    expect(Object.keys(known)).toContain(element.type);
    for (const property of Object.keys(element)) expect(known[element.type], element.type).toContain(property);
    for (const part of ['body', 'items', 'actions', 'inlines'] as const) {
      const inside = element[part] as Element[] | undefined;
      if (inside === undefined) continue;
      expect(inside.length, `${element.type}.${part}`).toBeGreaterThan(0);
      inside.forEach(check);
    }
    if ('text' in element) expect(String(element.text)).not.toBe('');
  }

  test.each([rich, monster, { title: 'x' }, { title: ' ', body: ' ', fields: [{ name: ' ', value: '' }] }])(
    'is made of what Teams knows (%#)',
    (message) => {
      const card = cardOf(message);
      check(card);
      expect(card.actions?.length ?? 0).toBeLessThanOrEqual(6);
    },
  );
});
