import { describe, expect, it } from 'vitest';
import { adaptiveCard, markedRevision, signed } from '../../src/destinations/adaptive-card.ts';
import { type AdfNode, toAdf } from '../../src/destinations/markdown/adf.ts';
import { cardStretches, cardText } from '../../src/destinations/markdown/card.ts';
import { toHtml } from '../../src/destinations/markdown/html.ts';
import { shortened } from '../../src/destinations/markdown/shorten.ts';
import { paragraph, parse } from '../../src/destinations/markdown/tree.ts';
import { noticeOf } from './suite.ts';

const hostile = [
  '<at>everyone</at> <!channel> <script>alert(1)</script>',
  '[run](javascript:alert(1)) ![pixel](https://track.example/p.png) ![](data:text/html,x)',
  '<adf>{"type":"mention","attrs":{"id":"all"}}</adf>',
].join('\n\n');

const rich = `# Head

**Bold** _em_ \`code\` ~~gone~~ [link](https://example.com), [by name][1].

> quoted

- one
  1. deep
- [x] done

| A | B |
|---|---|
| x | \`y\` |

\`\`\`js
if (a < b) {}
\`\`\`

[1]: https://example.com/1`;

function words(nodes: unknown): string {
  return JSON.stringify(nodes);
}

/** One line per node: its type, marks and text. */
function outline(nodes: readonly AdfNode[] = [], indent = ''): string {
  return nodes
    .map(({ type, attrs, marks = [], text, content }) => {
      const about = [type, attrs && words(attrs), ...marks.map(words), text && words(text)].filter(Boolean).join(' ');
      return `${indent}${about}\n${outline(content, `${indent}  `)}`;
    })
    .join('');
}

describe('Markdown for each service', () => {
  it('is Jira’s own document format', () => {
    expect(outline(toAdf(parse(rich)))).toMatchInlineSnapshot(`
      "heading {"level":1}
        text "Head"
      paragraph
        text {"type":"strong"} "Bold"
        text " "
        text {"type":"em"} "em"
        text " "
        text {"type":"code"} "code"
        text " "
        text {"type":"strike"} "gone"
        text " "
        text {"type":"link","attrs":{"href":"https://example.com"}} "link"
        text ", "
        text {"type":"link","attrs":{"href":"https://example.com/1"}} "by name"
        text "."
      blockquote
        paragraph
          text "quoted"
      bulletList
        listItem
          paragraph
            text "one"
          orderedList {"order":1}
            listItem
              paragraph
                text "deep"
        listItem
          paragraph
            text "☑ "
            text "done"
      table
        tableRow
          tableHeader
            paragraph
              text "A"
          tableHeader
            paragraph
              text "B"
        tableRow
          tableCell
            paragraph
              text "x"
          tableCell
            paragraph
              text {"type":"code"} "y"
      codeBlock {"language":"js"}
        text "if (a < b) {}"
      "
    `);
  });

  it('is what a card can show', () => {
    expect(cardStretches(parse(rich))).toMatchInlineSnapshot(`
      [
        {
          "kind": "text",
          "text": "**Head**

      **Bold** _em_ code gone [link](https://example.com), [by name](https://example.com/1).

      _quoted_

      - one
        1. deep
      - ☑ done

      * **A**: x, **B**: y",
        },
        {
          "kind": "code",
          "text": "if (a < b) {}",
        },
      ]
    `);
  });

  it('is HTML', () => {
    expect(toHtml(parse(rich))).toMatchInlineSnapshot(`
      "<h1>Head</h1>
      <p><strong>Bold</strong> <em>em</em> <code>code</code> <del>gone</del> <a href="https://example.com">link</a>, <a href="https://example.com/1">by name</a>.</p>
      <blockquote><p>quoted</p></blockquote>
      <ul><li>one
      <ol><li>deep</li></ol></li>
      <li>☑ done</li></ul>
      <table><tr><th>A</th><th>B</th></tr>
      <tr><td>x</td><td><code>y</code></td></tr></table>
      <pre><code>if (a &lt; b) {}</code></pre>"
    `);
  });

  it('does nothing that its author’s text was not meant to do', () => {
    expect(toHtml(parse(hostile))).toMatchInlineSnapshot(`
      "<p>&lt;at&gt;everyone&lt;/at&gt; &lt;!channel&gt; &lt;script&gt;alert(1)&lt;/script&gt;</p>
      <p>run <a href="https://track.example/p.png">pixel</a> data:text/html,x</p>
      <p>&lt;adf&gt;{&quot;type&quot;:&quot;mention&quot;,&quot;attrs&quot;:{&quot;id&quot;:&quot;all&quot;}}&lt;/adf&gt;</p>"
    `);
    expect(cardStretches(parse(hostile))).toMatchInlineSnapshot(`
      [
        {
          "kind": "text",
          "text": "\\<at>everyone\\</at> \\<!channel> \\<script>alert(1)\\</script>

      run [pixel](https://track.example/p.png) data:text/html,x

      \\<adf>{"type":"mention","attrs":{"id":"all"}}\\</adf>",
        },
      ]
    `);
    expect(outline(toAdf(parse(hostile)))).toMatchInlineSnapshot(`
      "paragraph
        text "<at>"
        text "everyone"
        text "</at>"
        text " "
        text "<!channel>"
        text " "
        text "<script>"
        text "alert(1)"
        text "</script>"
      paragraph
        text "run"
        text " "
        text {"type":"link","attrs":{"href":"https://track.example/p.png"}} "pixel"
        text " "
        text "data:text/html,x"
      paragraph
        text "<adf>"
        text "{\\"type\\":\\"mention\\",\\"attrs\\":{\\"id\\":\\"all\\"}}"
        text "</adf>"
      "
    `);
  });

  it('shows plain text as it is', () => {
    expect(cardText('[x](javascript:alert(1)) *a* <at>b</at>')).toBe(
      '\\[x]\\(javascript:alert(1)) \\*a\\* \\<at>b\\</at>',
    );
  });

  it('never writes an empty text into a document', () => {
    for (const body of ['', '```\n```', '| a |\n|---|\n| |', '- \n- ', '****', '[](https://example.com)', '> ']) {
      expect(words(toAdf(parse(body)))).not.toContain('"text":""');
    }
  });

  it('nests no deeper than its walkers can go', () => {
    for (const body of ['>'.repeat(32_000), '- '.repeat(16_000)]) {
      const tree = parse(body);
      expect(() => [toAdf(tree), cardStretches(tree), toHtml(tree)]).not.toThrow();
    }
  });

  it('makes paragraphs of a table that is too wide to read', () => {
    const row = (cell: string) => `|${cell}`.repeat(500);
    const tree = parse([row('a'), row('-'), row('b')].join('\n'));
    expect(tree.children.map(({ type }) => type)).toEqual(['paragraph', 'paragraph']);
  });

  it('joins wrapped lines with one space, however many blanks there are', () => {
    const wrapped = `a${' '.repeat(10)}\n${' '.repeat(3)}b`;
    expect(toAdf({ type: 'root', children: [paragraph(wrapped)] })).toEqual([
      { type: 'paragraph', content: [{ type: 'text', text: 'a b' }] },
    ]);
  });

  it('is cut where there is no more room, with a mark, and never changed itself', () => {
    const tree = parse(rich);
    const whole = JSON.stringify(tree);
    for (let bytes = 0; bytes <= 200; bytes += 1) {
      const html = toHtml(shortened(tree, bytes));
      expect(html.includes('…'), html).toBe(bytes > 0 && html !== toHtml(tree));
      expect(Buffer.byteLength(html.replace(/<[^>]*>|\n/g, ''))).toBeLessThanOrEqual(bytes + 40);
    }
    expect(JSON.stringify(tree)).toBe(whole);
    expect(shortened(tree, 10_000)).toEqual(tree);
  });
});

describe('a card', () => {
  it('says everything, and which revision of which delivery it is', () => {
    const links = [{ text: 'Runbook', url: 'https://example.com/run(book)' }];
    const fields = [{ name: 'Service', value: 'checkout*' }];
    const notice = noticeOf('dl_1', { fields, links }, { topic: 'INC-1' });
    const card = signed(adaptiveCard(notice, parse(notice.message.body ?? ''), 1), notice);
    expect(card).toMatchInlineSnapshot(`
      {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "actions": [
          {
            "title": "Runbook",
            "type": "Action.OpenUrl",
            "url": "https://example.com/run(book)",
          },
        ],
        "body": [
          {
            "bleed": true,
            "id": "tocsin:dl_1:1",
            "items": [
              {
                "inlines": [
                  {
                    "size": "Small",
                    "text": "🔴 CRITICAL",
                    "type": "TextRun",
                    "weight": "Bolder",
                  },
                ],
                "type": "RichTextBlock",
              },
              {
                "inlines": [
                  {
                    "size": "Large",
                    "text": "P1: checkout is down",
                    "type": "TextRun",
                    "weight": "Bolder",
                  },
                ],
                "type": "RichTextBlock",
              },
            ],
            "style": "attention",
            "type": "Container",
          },
          {
            "text": "Rate **42 %**.",
            "type": "TextBlock",
            "wrap": true,
          },
          {
            "facts": [
              {
                "title": "Service",
                "value": "checkout\\*",
              },
            ],
            "type": "FactSet",
          },
          {
            "inlines": [
              {
                "isSubtle": true,
                "size": "Small",
                "text": "INC-1 · 2026-11-20 14:02 UTC · bc_test",
                "type": "TextRun",
              },
            ],
            "type": "RichTextBlock",
          },
        ],
        "fallbackText": "P1: checkout is down",
        "msteams": {
          "width": "Full",
        },
        "type": "AdaptiveCard",
        "version": "1.4",
      }
    `);
    expect(markedRevision(card, 'dl_1')).toBe(1);
    expect(markedRevision(card, 'dl_2')).toBeNull();
  });

  it('lists the links that find no room among its actions', () => {
    const links = Array.from({ length: 8 }, (_, n) => ({ text: `[${n}]`, url: `https://example.com/(${n})` }));
    const card = adaptiveCard(noticeOf('dl_1', { links }), parse(''), 1);
    expect(card.actions).toHaveLength(6);
    expect(words(card.body)).toContain('- [\\\\[6]](https://example.com/%286%29)');
  });
});
