/** The largest body that is allowed, made of repetitions. */
const full = (unit: string) => unit.repeat(Math.floor((32 * 1024) / Buffer.byteLength(unit)));

/** Bodies that took the parser seconds or minutes. */
export const hostileBodies: Record<string, string> = {
  'quotes that begin anew': full('>a\n\n'),
  'quotes in lists': full('- > a\n'),
  'lists in quotes in lists': full('> - > - a\n'),
  'lists that begin anew': full('- a\n\nb\n\n'),
  'eight lists a line': full('- - - - - - - - a\n'),
  'a quote that goes on without its sign': `> a\n${full('b\n').slice(8)}`,
  'a footnote that goes on without its sign': `[^a]: b\n${full('c\n').slice(16)}`,
  'items that are indented now and then': full('  - a\n- b\n'),
  'marks that could all be pairs': `${'_*'.repeat(10_000)}a${'*_'.repeat(6_000)}`,
  'marks that close nothing': full('a* '),
  'marks within words': full('a***b**c*'),
  brackets: full('[a]('),
  'empty brackets': full('[]'),
  'labels that never end': full('[a]['),
  'links in links': `${'['.repeat(16_000)}${'](u)'.repeat(4_000)}`,
  'headings by underlines': full('a\n=\n'),
  'comments that never end': full('a <!-- '),
  'instructions that never end': full('a<?'),
  'an address that may end anywhere': `www.a${full('&a;').slice(8)}`,
};

/** Bodies that somebody may well send, as long as they may be. */
export const honestBodies: Record<string, string> = {
  prose: full(
    'The **error rate** of `checkout` rose to 42 % since noon; see [the graph](https://g.example.com/d). '.repeat(4) +
      '\n\n',
  ),
  'a list': full('- **eu-west-1**: `checkout` is down, 42 % of the requests fail\n'),
  'lists in lists': full('- one region\n  - two of its services\n    - three of their hosts\n'),
  'a table': `| Region | Errors |\n|---|---:|\n${full('| eu-west-1 | 42 % |\n').slice(64)}`,
  'a quoted mail': full('> The error rate of checkout rose to 42 % since noon, they say.\n'),
  'wrapped lines': full(
    'The error rate of checkout rose to 42 % since noon, and goes on rising\nby one per cent a minute.\n\n',
  ),
  'a log': `\`\`\`\n${full('14:02:11 ERROR checkout: connection to *payments* [refused]\n').slice(64)}\`\`\``,
};
