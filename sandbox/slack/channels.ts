import { append, type Fields } from '../standin.ts';

export interface SlackMessage {
  type: 'message';
  subtype?: string;
  ts: string;
  text: string;
  user: string;
  team: string;
  bot_id?: string;
  app_id?: string;
  blocks?: Fields[];
  attachments?: Fields[];
  metadata?: Fields;
  thread_ts?: string;
  parent_user_id?: string;
  reply_count?: number;
  latest_reply?: string;
  edited?: { user: string; ts: string };
}

export type Content = Pick<SlackMessage, 'text' | 'blocks' | 'attachments' | 'metadata'>;
export type Author = Pick<SlackMessage, 'user' | 'bot_id' | 'app_id'>;

export interface Channels {
  post: (
    channel: string,
    author: Author,
    content: Content,
    threadTs?: string,
    broadcast?: boolean,
  ) => SlackMessage | null;
  find: (channel: string, ts: string) => SlackMessage | undefined;
  edit: (message: SlackMessage, content: Partial<Content>, by: string) => void;
  remove: (channel: string, message: SlackMessage) => void;
  /** Oldest first, thread replies among them. */
  all: (channel: string) => SlackMessage[];
  names: () => string[];
  clear: () => void;
}

export const TEAM = 'T0SANDBOX';

export function createChannels(): Channels {
  const channels = new Map<string, SlackMessage[]>();
  let lastTick = 0;
  let blockCount = 0;

  const messagesOf = (channel: string) => channels.get(channel) ?? [];
  const repliesTo = (channel: string, ts: string) =>
    messagesOf(channel).filter((message) => message.thread_ts === ts && message.ts !== ts);

  // Slack's ts is the message's identity in its channel, so two posts in one microsecond must still differ.
  const nextTs = () => {
    lastTick = Math.max(Date.now() * 1000, lastTick + 1);
    return `${Math.floor(lastTick / 1e6)}.${String(lastTick % 1e6).padStart(6, '0')}`;
  };
  const named = (blocks: Fields[] | undefined) =>
    blocks?.map((block) => ({ ...block, block_id: block.block_id ?? `b${(++blockCount).toString(36)}` }));
  const recount = (channel: string, parent: SlackMessage) => {
    const replies = repliesTo(channel, parent.ts);
    if (replies.length === 0) {
      delete parent.thread_ts;
      delete parent.reply_count;
      delete parent.latest_reply;
      return;
    }
    parent.thread_ts = parent.ts;
    parent.reply_count = replies.length;
    parent.latest_reply = replies.at(-1)?.ts;
  };

  return {
    post(channel, author, content, threadTs, broadcast) {
      const parent = threadTs === undefined ? undefined : messagesOf(channel).find(({ ts }) => ts === threadTs);
      // A thread hangs on a top-level message: neither on nothing nor on another reply.
      const isReply = parent?.thread_ts !== undefined && parent.thread_ts !== parent.ts;
      if (threadTs !== undefined && (parent === undefined || isReply)) return null;
      const message: SlackMessage = { type: 'message', ts: nextTs(), team: TEAM, ...author, ...content };
      message.blocks = named(content.blocks);
      if (parent !== undefined) {
        message.thread_ts = parent.ts;
        message.parent_user_id = parent.user;
        if (broadcast) message.subtype = 'thread_broadcast';
      }
      append(channels, channel, message);
      if (parent !== undefined) recount(channel, parent);
      return message;
    },
    find: (channel, ts) => messagesOf(channel).find((message) => message.ts === ts && message.subtype !== 'tombstone'),
    edit(message, content, by) {
      // Text alone drops the blocks that were there: https://docs.slack.dev/reference/methods/chat.update
      if (content.text !== undefined)
        Object.assign(message, { text: content.text, blocks: undefined, attachments: undefined });
      if (content.blocks !== undefined) message.blocks = named(content.blocks);
      if (content.attachments !== undefined) message.attachments = content.attachments;
      if (content.metadata !== undefined) message.metadata = content.metadata;
      message.edited = { user: by, ts: nextTs() };
    },
    remove(channel, message) {
      if (repliesTo(channel, message.ts).length > 0) {
        // The replies stay, so Slack leaves a stone where their parent was.
        for (const field of ['blocks', 'attachments', 'metadata', 'edited', 'bot_id', 'app_id'] as const)
          delete message[field];
        message.subtype = 'tombstone';
        message.text = 'This message was deleted.';
        return;
      }
      channels.set(
        channel,
        messagesOf(channel).filter((other) => other !== message),
      );
      const parent = messagesOf(channel).find(({ ts }) => ts === message.thread_ts);
      if (parent !== undefined) recount(channel, parent);
    },
    all: messagesOf,
    names: () => [...channels.keys()],
    clear: () => channels.clear(),
  };
}
