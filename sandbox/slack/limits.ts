import { type Fields, fields, isFields, list, text } from '../standin.ts';

export interface Refusal {
  error: string;
  messages?: string[];
}

const BLOCK_TYPES = new Set(
  'actions context divider file header image input markdown rich_text section table video'.split(' '),
);
// Not documented, seen as msg_blocks_too_long: https://github.com/slackapi/bolt-js/issues/2509
const ALL_BLOCKS_CHARACTERS = 13_200;

/** What Slack would refuse about the content of a message, or null. https://docs.slack.dev/reference/block-kit/blocks */
export function refusalOf(message: Fields): Refusal | null {
  const { blocks, attachments, metadata } = message;
  const said = text(message.text) ?? '';
  if (said.length > 40_000) return { error: 'msg_too_long' };
  if (blocks !== undefined && !Array.isArray(blocks)) return { error: 'invalid_blocks_format' };
  if (attachments !== undefined && !Array.isArray(attachments)) return { error: 'invalid_attachments' };
  if (list(attachments).length > 100) return { error: 'too_many_attachments' };
  if (said === '' && list(blocks).length === 0 && list(attachments).length === 0) return { error: 'no_text' };

  const everyBlocks = [list(blocks), ...list(attachments).map((attachment) => list(fields(attachment).blocks))];
  const messages = everyBlocks.flatMap(wrongBlocks);
  if (messages.length > 0) return { error: 'invalid_blocks', messages };
  if (everyBlocks.some((each) => charactersOf(each) > ALL_BLOCKS_CHARACTERS)) return { error: 'msg_blocks_too_long' };

  if (metadata !== undefined) {
    if (!isFields(metadata) || !text(metadata.event_type) || !isFields(metadata.event_payload)) {
      return { error: 'invalid_metadata_format' };
    }
    if (JSON.stringify(metadata).length > 8000) return { error: 'metadata_too_large' };
  }
  return null;
}

function wrongBlocks(blocks: unknown[]): string[] {
  const wrong: string[] = [];
  const check = (holds: boolean, rule: string, pointer: string) => {
    if (!holds) wrong.push(`[ERROR] ${rule} [json-pointer:${pointer}]`);
  };
  const within = (value: unknown, max: number, pointer: string) => {
    const length = text(value)?.length ?? 0;
    check(length > 0, 'must be more than 0 characters', pointer);
    check(length <= max, `must be less than ${max + 1} characters`, pointer);
  };
  check(blocks.length <= 50, 'no more than 50 items allowed', '/blocks');
  const ids = new Set<unknown>();
  let markdown = 0;

  blocks.forEach((each, index) => {
    const at = `/blocks/${index}`;
    const block = fields(each);
    const type = text(block.type) ?? '';
    check(BLOCK_TYPES.has(type), `unsupported type: ${type}`, `${at}/type`);
    const id = block.block_id;
    if (id !== undefined) {
      within(id, 255, `${at}/block_id`);
      check(!ids.has(id), 'block_id must be unique within a message', `${at}/block_id`);
      ids.add(id);
    }
    if (type === 'header') within(fields(block.text).text, 150, `${at}/text/text`);
    if (type === 'markdown') {
      within(block.text, 12_000, `${at}/text`);
      markdown += text(block.text)?.length ?? 0;
    }
    if (type === 'section') {
      check(block.text !== undefined || block.fields !== undefined, 'missing required field: text', at);
      if (block.text !== undefined) within(fields(block.text).text, 3000, `${at}/text/text`);
      const parts = list(block.fields);
      check(parts.length <= 10, 'no more than 10 items allowed', `${at}/fields`);
      for (const [n, part] of parts.entries()) within(fields(part).text, 2000, `${at}/fields/${n}/text`);
    }
    if (type === 'context') {
      check(list(block.elements).length <= 10, 'no more than 10 items allowed', `${at}/elements`);
      check(list(block.elements).length > 0, 'no less than 1 items allowed', `${at}/elements`);
    }
    if (type === 'actions') {
      check(list(block.elements).length <= 25, 'no more than 25 items allowed', `${at}/elements`);
      check(list(block.elements).length > 0, 'no less than 1 items allowed', `${at}/elements`);
      for (const [n, element] of list(block.elements).entries()) {
        const button = fields(element);
        if (button.type !== 'button') continue;
        within(fields(button.text).text, 75, `${at}/elements/${n}/text/text`);
        if (button.url !== undefined) within(button.url, 3000, `${at}/elements/${n}/url`);
      }
    }
  });
  check(markdown <= 12_000, 'all markdown blocks together must be less than 12001 characters', '/blocks');
  return wrong;
}

function charactersOf(value: unknown): number {
  if (Array.isArray(value)) return value.reduce<number>((sum, each) => sum + charactersOf(each), 0);
  if (!isFields(value)) return 0;
  return Object.entries(value).reduce(
    (sum, [name, inner]) => sum + (name === 'text' && typeof inner === 'string' ? inner.length : charactersOf(inner)),
    0,
  );
}
