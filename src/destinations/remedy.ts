import type { Fault } from '../delivery/outcome.ts';
import type { Adapter } from './adapter.ts';

/** Reasons of the shared table for which no word ever came back. */
const unanswered = ['connection_refused', 'connection_failed', 'connection_lost', 'dns', 'timeout', 'unreachable'];

/** A fault's message with what a person can do about it, for whoever is just configuring the destination. */
export function remedied(fault: Fault, { credentialAdvice }: Pick<Adapter, 'credentialAdvice'>): string {
  const { message, reason, status, credential } = fault;
  if (credential) return advised(message, credentialAdvice ?? 'Check its secrets.');
  if (status !== null) return message;
  if (reason === 'tls')
    return advised(message, 'Check the host name, and that its certificate is valid and trusted here.');
  if (!unanswered.includes(reason)) return message;
  return advised(message, 'Check host and port of its URL, and that this machine may connect there.');
}

/** Two sentences of what may have ended without a full stop. */
export function advised(said: string, advice: string): string {
  return `${said.trim().replace(/\.$/, '')}. ${advice}`;
}
