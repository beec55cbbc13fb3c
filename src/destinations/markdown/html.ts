import type { Root } from 'mdast';
import { gfmToMarkdown } from 'mdast-util-gfm';
import { toMarkdown } from 'mdast-util-to-markdown';
import { micromark } from 'micromark';
import { gfm, gfmHtml } from 'micromark-extension-gfm';
import { parse } from './tree.ts';

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

/**
 * HTML of a CommonMark text. micromark escapes raw HTML and empties links to dangerous protocols by default, so that what it is
 * given decides only how the text looks, never whether it is safe.
 */
export function toHtml(markdown: string | Root): string {
  const tree = typeof markdown === 'string' ? parse(markdown) : markdown;
  return micromark(toMarkdown(tree, { extensions: [gfmToMarkdown()] }), {
    extensions: [gfm()],
    htmlExtensions: [gfmHtml()],
  });
}
