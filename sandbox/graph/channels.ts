import { type Fields, fields, list, text } from '../standin.ts';

export interface TeamsMessage {
  id: string;
  replyToId: string | null;
  etag: string;
  messageType: 'message';
  createdDateTime: string;
  lastModifiedDateTime: string;
  lastEditedDateTime: string | null;
  deletedDateTime: string | null;
  subject: string | null;
  importance: string;
  webUrl: string;
  from: { application: null; device: null; user: { id: string; displayName: string; userIdentityType: 'aadUser' } };
  body: { contentType: 'html' | 'text'; content: string };
  attachments: Fields[];
  mentions: Fields[];
  reactions: Fields[];
  channelIdentity: { teamId: string; channelId: string };
}

export interface Place {
  teamId: string;
  channelId: string;
}

export interface Channels {
  post: (place: Place, user: { id: string; displayName: string }, content: Fields, replyToId?: string) => TeamsMessage;
  /** Oldest first, replies and deleted ones among them, as Graph keeps them. */
  all: (place: Place) => TeamsMessage[];
  edit: (message: TeamsMessage, content: Fields) => void;
  remove: (message: TeamsMessage) => void;
  places: () => Place[];
  clear: () => void;
}

export function createChannels(url: () => string): Channels {
  const channels = new Map<string, { place: Place; messages: TeamsMessage[] }>();
  let lastId = 0;
  const channelOf = (place: Place) => {
    const key = JSON.stringify([place.teamId, place.channelId]);
    const channel = channels.get(key) ?? { place, messages: [] };
    channels.set(key, channel);
    return channel;
  };
  const touch = (message: TeamsMessage) => {
    message.lastModifiedDateTime = new Date().toISOString();
    message.etag = String(Number(message.etag) + 1);
  };

  return {
    post(place, user, content, replyToId) {
      // Graph's id is the moment in epoch milliseconds, and still unique.
      lastId = Math.max(Date.now(), lastId + 1);
      const id = String(lastId);
      const at = new Date(lastId).toISOString();
      const message: TeamsMessage = {
        id,
        replyToId: replyToId ?? null,
        etag: id,
        messageType: 'message',
        createdDateTime: at,
        lastModifiedDateTime: at,
        lastEditedDateTime: null,
        deletedDateTime: null,
        subject: null,
        importance: 'normal',
        webUrl: `${url()}/teams/${encodeURIComponent(place.channelId)}/${id}?groupId=${encodeURIComponent(place.teamId)}`,
        from: { application: null, device: null, user: { ...user, userIdentityType: 'aadUser' } },
        body: { contentType: 'text', content: '' },
        attachments: [],
        mentions: [],
        reactions: [],
        channelIdentity: place,
      };
      write(message, content);
      channelOf(place).messages.push(message);
      return message;
    },
    all: (place) => channelOf(place).messages,
    edit(message, content) {
      write(message, content);
      touch(message);
      message.lastEditedDateTime = message.lastModifiedDateTime;
    },
    remove(message) {
      touch(message);
      message.deletedDateTime = message.lastModifiedDateTime;
      message.body = { contentType: 'html', content: '' };
      message.attachments = [];
      message.subject = null;
    },
    places: () => [...channels.values()].filter(({ messages }) => messages.length > 0).map(({ place }) => place),
    clear: () => channels.clear(),
  };
}

function write(message: TeamsMessage, content: Fields): void {
  const body = fields(content.body);
  if (content.body !== undefined) {
    message.body = {
      contentType: body.contentType === 'html' ? 'html' : 'text',
      content: text(body.content) ?? '',
    };
  }
  if (content.attachments !== undefined) {
    const empty = { contentUrl: null, name: null, thumbnailUrl: null, teamsAppId: null };
    message.attachments = list(content.attachments).map((attachment) => ({ ...empty, ...fields(attachment) }));
  }
  if ('subject' in content) message.subject = text(content.subject) ?? null;
  message.importance = text(content.importance) ?? message.importance;
}
