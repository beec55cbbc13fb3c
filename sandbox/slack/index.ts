import { type Answer, type Call, type Fields, fields, type Ground, list, type StandIn, text } from '../standin.ts';
import { type Caller, callerOf, closed, scopeFor } from './access.ts';
import { type Channels, createChannels, type SlackMessage, TEAM } from './channels.ts';
import { refusalOf } from './limits.ts';
import { history, isTrue, permalink, replies } from './reading.ts';

export interface SlackView {
  /** What stands in the channel now, oldest first, thread replies among it; what was deleted is gone. */
  channel: (id: string) => SlackMessage[];
  /** A person says something, so that ours is not the only message. */
  say: (channel: string, text: string, threadTs?: string) => SlackMessage;
}

const WRITES = new Set(['chat.postMessage', 'chat.update', 'chat.delete', 'conversations.join']);

export function createSlack(ground: Ground): { standIn: StandIn; view: SlackView } {
  const channels = createChannels();
  const visible = (id: string) => structuredClone(channels.all(id).filter(({ subtype }) => subtype !== 'tombstone'));
  const view: SlackView = {
    channel: visible,
    say(channel, said, threadTs) {
      const message = channels.post(channel, { user: 'U0PERSON' }, { text: said }, threadTs);
      if (message === null) throw new Error(`No message ${threadTs} in ${channel} to reply to: pass the ts of a post`);
      ground.changed();
      return structuredClone(message);
    },
  };
  const standIn: StandIn = {
    service: 'slack',
    prefix: '/slack/api/',
    plan(call) {
      const method = call.segments[0] ?? '';
      const args = argumentsOf(call);
      const channel = text(args.channel) ?? '';
      return {
        places: channel ? [channel] : [],
        writes: WRITES.has(method),
        apply: () => answer(channels, ground, method, args, call),
      };
    },
    refusal: (status) =>
      no(status === 401 ? 'invalid_auth' : status >= 500 ? 'internal_error' : 'fatal_error', {}, status),
    limited: () => no('ratelimited', {}, 429),
    error: (code) => no(code),
    state: () => Object.fromEntries(channels.names().map((id) => [id, visible(id)])),
    reset: channels.clear,
  };
  return { standIn, view };
}

function answer(channels: Channels, ground: Ground, method: string, args: Fields, call: Call): Answer {
  const bearer = /^Bearer (.+)$/i.exec(call.headers.authorization ?? '')?.[1];
  const caller = callerOf(bearer ?? text(args.token));
  if (typeof caller === 'string') return no(caller);
  const channel = text(args.channel) ?? '';
  const needed = scopeFor(method, channel);
  const said =
    needed !== null && !caller.scopes.includes(needed)
      ? no('missing_scope', { needed, provided: caller.scopes.join(',') })
      : run(channels, ground, method, args, caller, channel);
  return { ...said, headers: { ...said.headers, 'x-oauth-scopes': caller.scopes.join(',') } };
}

function run(
  channels: Channels,
  ground: Ground,
  method: string,
  args: Fields,
  caller: Caller,
  channel: string,
): Answer {
  const { author } = caller;
  if (method === 'auth.test') {
    const { user, bot_id } = author;
    const who = { user: 'tocsin', user_id: user, bot_id, team: 'Sandbox', team_id: TEAM, is_enterprise_install: false };
    return yes({ url: `${ground.url()}/`, ...who });
  }
  const shut = closed(channel, method);
  if (shut !== null) return no(shut);

  const ts = text(args.ts) ?? text(args.message_ts) ?? '';
  const message = ts === '' ? undefined : channels.find(channel, ts);
  const isOwn = message?.bot_id === author.bot_id;
  switch (method) {
    case 'chat.postMessage': {
      const wrong = refusalOf(args);
      if (wrong) return refuse(wrong.error, wrong.messages);
      const content = contentOf(args);
      const threadTs = text(args.thread_ts) || undefined;
      const posted = channels.post(channel, author, { text: '', ...content }, threadTs, isTrue(args.reply_broadcast));
      // A thread that can't take a reply is refused rather than posted where nobody looks, so that a wrong ts is noticed.
      return posted === null
        ? no('cannot_reply_to_message')
        : yes({ channel, ts: posted.ts, message: withoutMetadata(posted) });
    }
    case 'chat.update': {
      if (message === undefined) return no('message_not_found');
      if (!isOwn) return no('cant_update_message');
      const wrong = refusalOf(args);
      if (wrong) return refuse(wrong.error, wrong.messages);
      channels.edit(message, contentOf(args), author.user);
      return yes({ channel, ts, text: message.text, message: withoutMetadata(message) });
    }
    case 'chat.delete':
      if (message === undefined) return no('message_not_found');
      if (!isOwn) return no('cant_delete_message');
      channels.remove(channel, message);
      return yes({ channel, ts });
    case 'chat.getPermalink':
      return message === undefined
        ? no('message_not_found')
        : yes({ channel, permalink: permalink(ground, channel, ts) });
    case 'conversations.history':
      return yes(history(channels.all(channel), args));
    case 'conversations.replies': {
      const thread = replies(channels.all(channel), args, ts);
      return thread === null ? no('thread_not_found') : yes(thread);
    }
    case 'conversations.info':
    case 'conversations.join':
      return yes({ channel: described(channel) });
    default:
      return no('unknown_method', { req_method: method });
  }
}

function described(id: string): Fields {
  const kind = { is_channel: id.startsWith('C'), is_group: id.startsWith('G'), is_im: id.startsWith('D') };
  const membership = { is_member: !id.startsWith('CNOTIN'), is_archived: id.startsWith('CARCHIVED') };
  return { id, name: id.toLowerCase(), ...kind, ...membership, is_private: id.startsWith('G'), context_team_id: TEAM };
}

/** Slack takes JSON or a form; in a form, what isn't text is JSON inside it. */
function argumentsOf(call: Call): Fields {
  const args: Fields = { ...Object.fromEntries(call.query), ...fields(call.body) };
  for (const name of ['blocks', 'attachments', 'metadata']) {
    const value = args[name];
    if (typeof value !== 'string') continue;
    try {
      args[name] = JSON.parse(value);
    } catch {
      // Left as text, which the limits refuse in Slack's words.
    }
  }
  return args;
}

function contentOf(args: Fields): { text?: string; blocks?: Fields[]; attachments?: Fields[]; metadata?: Fields } {
  return {
    ...(text(args.text) === undefined ? {} : { text: text(args.text) }),
    ...(args.blocks === undefined ? {} : { blocks: list(args.blocks).map(fields) }),
    ...(args.attachments === undefined ? {} : { attachments: list(args.attachments).map(fields) }),
    ...(args.metadata === undefined ? {} : { metadata: fields(args.metadata) }),
  };
}

function withoutMetadata({ metadata: _, ...message }: SlackMessage): Omit<SlackMessage, 'metadata'> {
  return message;
}

function yes(body: Fields): Answer {
  return { status: 200, body: { ok: true, ...body } };
}

function no(error: string, more: Fields = {}, status = 200): Answer {
  return { status, body: { ok: false, error, ...more } };
}

function refuse(error: string, messages?: string[]): Answer {
  return messages === undefined ? no(error) : no(error, { errors: messages, response_metadata: { messages } });
}
