import { type Answer, type Call, fields, type Ground, type StandIn } from '../standin.ts';
import { type Channels, createChannels, type Place, type TeamsMessage } from './channels.ts';
import { codeFor, no, refusalOf } from './refusals.ts';
import { createTokens, type Tokens } from './tokens.ts';

export interface TeamsPost extends TeamsMessage {
  replies: TeamsMessage[];
}

export interface GraphView {
  /** What stands in the channel now, oldest first; what was deleted is gone. */
  channel: (teamId: string, channelId: string) => TeamsPost[];
  /** A person says something, so that ours is not the only message. */
  say: (teamId: string, channelId: string, text: string, replyToId?: string) => TeamsMessage;
  /** Ends every access token given out so far: the next request gets a 401. */
  expireTokens: () => void;
  /** How long access tokens last from their issue. Default 3600. */
  tokenLifetimeSeconds: number;
  /** Whether a refresh token works only once and is replaced by the next. Default false. */
  rotateRefreshTokens: boolean;
}

const ME = { id: '8b081ef6-4792-4def-b2c9-c363a1bf41d5', displayName: 'Tocsin' };
const PERSON = { id: '5d6a2c1e-0f6b-4f0c-9d7a-2f1f3c6b8a90', displayName: 'A Person' };

export function createGraph(ground: Ground): { standIn: StandIn; view: GraphView } {
  const tokens = createTokens();
  const channels = createChannels(ground.url);
  const posts = (place: Place): TeamsPost[] => {
    const visible = structuredClone(channels.all(place).filter(({ deletedDateTime }) => deletedDateTime === null));
    const repliesTo = (id: string) => visible.filter(({ replyToId }) => replyToId === id);
    return visible
      .filter(({ replyToId }) => replyToId === null)
      .map((post) => ({ ...post, replies: repliesTo(post.id) }));
  };
  const view: GraphView = {
    channel: (teamId, channelId) => posts({ teamId, channelId }),
    say(teamId, channelId, said, replyToId) {
      const body = { contentType: 'text', content: said };
      const message = channels.post({ teamId, channelId }, PERSON, { body }, replyToId);
      ground.changed();
      return structuredClone(message);
    },
    expireTokens: tokens.expire,
    get tokenLifetimeSeconds() {
      return tokens.lifetimeSeconds;
    },
    set tokenLifetimeSeconds(seconds) {
      tokens.lifetimeSeconds = seconds;
    },
    get rotateRefreshTokens() {
      return tokens.rotate;
    },
    set rotateRefreshTokens(rotate) {
      tokens.rotate = rotate;
    },
  };
  const standIn: StandIn = {
    service: 'graph',
    prefix: '/graph/',
    plan(call) {
      const [root = '', collection, teamId = '', , channelId = ''] = call.segments;
      if (root === 'token' || call.segments.at(-1) === 'token') {
        return { places: ['token'], writes: false, aimed: true, apply: () => tokens.grant(call) };
      }
      const places = collection === 'teams' ? [channelId, teamId].filter(Boolean) : [];
      return { places, writes: call.method !== 'GET', apply: () => answer(channels, tokens, call) };
    },
    refusal: (status) => no(codeFor(status), `The service answered ${status}.`, status),
    limited: () => no('TooManyRequests', 'Too many requests. Please retry later.'),
    error: (code) => no(code, `The service answered ${code}.`),
    state: () => channels.places().map((place) => ({ ...place, posts: posts(place) })),
    reset() {
      channels.clear();
      tokens.clear();
    },
  };
  return { standIn, view };
}

function answer(channels: Channels, tokens: Tokens, call: Call): Answer {
  const [version, collection = '', teamId = '', middle, channelId, messages, id, inner, replyId, last] = call.segments;
  const token = /^Bearer (.+)$/i.exec(call.headers.authorization ?? '')?.[1] ?? '';
  if (!tokens.accepts(token)) {
    const said = token === '' ? 'Access token is empty.' : 'Access token has expired or is not yet valid.';
    return { ...no('InvalidAuthenticationToken', said), headers: { 'www-authenticate': 'Bearer realm=""' } };
  }
  if (version !== 'v1.0') return no('BadRequest', `Invalid version: ${version ?? ''}`);
  if (collection === 'me')
    return { status: 200, body: { ...ME, userPrincipalName: 'tocsin@sandbox.example', mail: null } };
  if (collection !== 'teams' || teamId === '')
    return no('BadRequest', `Resource not found for the segment '${collection}'.`);
  if (`${teamId}`.startsWith('missing') || channelId?.startsWith('missing')) {
    return no('NotFound', `No team found with Group Id ${teamId}, or no such channel in it.`);
  }
  const isArchived = teamId.startsWith('archived') || channelId?.startsWith('archived') === true;
  if (middle === undefined) return { status: 200, body: { id: teamId, displayName: teamId, isArchived } };
  if (middle !== 'channels' || channelId === undefined) return no('BadRequest', `Resource not found for '${middle}'.`);
  if (messages === undefined) {
    return { status: 200, body: { id: channelId, displayName: channelId, membershipType: 'standard', isArchived } };
  }
  if (messages !== 'messages') return no('BadRequest', `Resource not found for the segment '${messages}'.`);

  const writes = call.method !== 'GET';
  if (writes && isArchived) return no('Forbidden', 'The team or channel is archived.');
  if (token.startsWith(writes ? 'static-nowrite' : 'static-noread')) {
    return no('Forbidden', `Missing scope permissions: ${writes ? 'ChannelMessage.Send' : 'ChannelMessage.Read.All'}.`);
  }
  const place = { teamId, channelId };
  const isReplyPath = inner === 'replies';
  if (id === undefined) return collectionOf(channels, call, place);
  const post = channels.all(place).find((each) => each.id === id && each.replyToId === null);
  if (post === undefined) return no('NotFound', `Message ${id} was not found.`);
  if (!isReplyPath) return one(channels, call, post, inner);
  if (replyId === undefined) return collectionOf(channels, call, place, id);
  const reply = channels.all(place).find((each) => each.id === replyId && each.replyToId === id);
  return reply === undefined ? no('NotFound', `Reply ${replyId} was not found.`) : one(channels, call, reply, last);
}

function collectionOf(channels: Channels, call: Call, place: Place, replyToId?: string): Answer {
  if (call.method === 'POST') {
    const refused = refusalOf(call.body, call.raw.length, true);
    if (refused !== null) return refused;
    const message = channels.post(place, ME, fields(call.body), replyToId);
    return { status: 201, headers: { location: message.webUrl }, body: message };
  }
  if (call.method !== 'GET') return no('BadRequest', `The method ${call.method} is not allowed here.`, 405);
  const top = Number(call.query.get('$top') ?? 20);
  if (!(top >= 1 && top <= 50))
    return no('BadRequest', `Invalid page size specified: '${top}'. Must be between 1 and 50.`);
  const skip = Number(call.query.get('$skiptoken') ?? 0);
  // Deleted messages stay in the list, emptied, with deletedDateTime set.
  const newestFirst = channels
    .all(place)
    .filter((each) => each.replyToId === (replyToId ?? null))
    .reverse();
  const page = newestFirst.slice(skip, skip + top);
  const more = newestFirst.length > skip + page.length;
  const next = `http://${call.headers.host}${call.path.split('?')[0]}?$top=${top}&$skiptoken=${skip + page.length}`;
  const body = { '@odata.count': page.length, ...(more ? { '@odata.nextLink': next } : {}), value: page };
  return { status: 200, body };
}

function one(channels: Channels, call: Call, message: TeamsMessage, action: string | undefined): Answer {
  if (call.method === 'GET' && action === undefined) return { status: 200, body: message };
  if (message.from.user.id !== ME.id) return no('Forbidden', 'Only the sender may change this message.');
  if (call.method === 'POST' && action === 'softDelete') {
    if (message.deletedDateTime === null) channels.remove(message);
    return { status: 204 };
  }
  if (call.method !== 'PATCH' || action !== undefined) return no('BadRequest', `Resource not found for '${action}'.`);
  if (message.deletedDateTime !== null) return no('NotFound', `Message ${message.id} was deleted.`);
  const refused = refusalOf(call.body, call.raw.length, false);
  if (refused !== null) return refused;
  channels.edit(message, fields(call.body));
  return { status: 204 };
}
