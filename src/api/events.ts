import { callbackEvents } from './broadcast-body.ts';

const header = (name: string, description: string) => ({
  name,
  in: 'header',
  required: true,
  description,
  schema: { type: 'string' },
});

const parameters = [
  header('webhook-id', 'The same on every attempt of one event: drop what you have seen.'),
  header('webhook-timestamp', 'When this attempt was made, in seconds since 1970.'),
  {
    ...header('webhook-signature', '`v1,` and the HMAC-SHA256 of `id.timestamp.body`, when a secret was given.'),
    required: false,
  },
];

const envelope = (type: object, data: object, more: object = {}) => ({
  type: 'object',
  required: ['type', 'timestamp', 'data'],
  properties: { type, timestamp: { type: 'string', format: 'date-time' }, data, ...more },
});

const operation = (operationId: string, summary: string, description: string, schema: object) => ({
  post: {
    operationId,
    summary,
    description,
    tags: ['broadcasts'],
    security: [],
    parameters,
    requestBody: { required: true, content: { 'application/json': { schema } } },
    responses: {
      '2XX': { description: 'Received. Any other answer, or none, is tried again.' },
    },
  },
});

const string = { type: 'string' };

/** What we post to others, by Standard Webhooks (https://www.standardwebhooks.com). */
export const webhooks = {
  callback: operation(
    'receiveCallback',
    "What became of a broadcast, to its callback's URL",
    'Sent for the events that the broadcast asked for. `data` is the broadcast as it is when the attempt is made, so that a later ' +
      'attempt at the same event may tell more. In `broadcast.converged` its `state` and `convergedAt` are those of the verdict that ' +
      'the event is about.',
    envelope(
      { type: 'string', enum: [...callbackEvents] },
      { $ref: '#/components/schemas/Broadcast' },
      {
        revision: {
          type: 'integer',
          description: 'Of the broadcast, when it happened. A higher one in `data` says that it was revised since.',
        },
        deliveryId: { type: 'string', description: 'In `delivery.*`: the delivery that it is about.' },
      },
    ),
  ),
  message: operation(
    'receiveMessage',
    'A message, to a destination of the kind `webhook`',
    'The id is new for every revision, and the same for every attempt at one.',
    envelope(
      { type: 'string', const: 'broadcast.message' },
      {
        type: 'object',
        required: [
          'broadcastId',
          'deliveryId',
          'revision',
          'retracted',
          'message',
          'topic',
          'correlationId',
          'metadata',
        ],
        properties: {
          broadcastId: string,
          deliveryId: string,
          revision: { type: 'integer' },
          retracted: { type: 'boolean' },
          message: { $ref: '#/components/schemas/Message' },
          topic: { type: ['string', 'null'] },
          correlationId: string,
          metadata: { type: 'object', additionalProperties: string },
        },
      },
    ),
  ),
};
