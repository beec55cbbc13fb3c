import { defineAdapter } from '../adapter.ts';
import { check, credentialAdvice } from './check.ts';
import { classify } from './faults.ts';
import { compose, type EmailContent, type EmailPayload, render } from './render.ts';
import { send } from './send.ts';
import { type EmailCall, Receipt, Secrets, Settings } from './settings.ts';

/** A mail program that lacks one of them still finds the thread by another. */
function before({ root, receipt }: EmailCall & { receipt: Receipt }): string[] {
  return root ? [root.messageId, receipt.messageId] : [receipt.messageId];
}

/** Mail by SMTP, which can neither be asked nor taken back: revisions and retractions follow as mails of the same thread. */
export const email = defineAdapter<Settings, Secrets, Receipt, EmailPayload, EmailContent>({
  kind: 'email',
  settings: Settings,
  secrets: Secrets,
  receipt: Receipt,
  repeatable: [],
  compose,
  render,
  classify,
  deliver: (call, payload) => send(call, payload, { references: [], prefix: '' }),
  reply: (call, payload) => send(call, payload, { references: [call.root.messageId], prefix: '' }),
  revise: (call, payload) => send(call, payload, { references: before(call), prefix: 'Update: ' }),
  retract: (call, payload) => send(call, payload, { references: before(call), prefix: 'Retracted: ' }),

  check,
  credentialAdvice,

  budget: (_settings, { smtpUrl }) => `email ${new URL(smtpUrl).host} ${new URL(smtpUrl).username}`,
});
