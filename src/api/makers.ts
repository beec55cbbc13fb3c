import type { Database } from '../ledger/database.ts';
import { findMaker } from '../ledger/find-maker.ts';
import { type Caller, forbidden, may } from './auth.ts';

type Made = { broadcast: string } | { delivery: string };

/** Throws a Problem unless the caller made the broadcast, or may change all of them. */
export async function assertMayChange(db: Database, caller: Caller, what: Made): Promise<void> {
  if (may(caller, 'admin') || (await made(db, caller, what))) return;
  // The same words where there is no such thing: nobody learns from them what there is.
  const detail = `This key did not make ${nameOf(what)}: with the scope send it changes only what it made itself; admin changes all.`;
  throw forbidden(detail, 'admin');
}

/** Throws a Problem unless the caller made the broadcast, or may read all of them. */
export async function assertMayRead(db: Database, caller: Caller, what: Made): Promise<void> {
  if (may(caller, 'read') || (await made(db, caller, what))) return;
  const detail = `This key did not make ${nameOf(what)}: with the scope send it sees only what it made itself; others need the scope read.`;
  throw forbidden(detail, 'read');
}

async function made(db: Database, caller: Caller, what: Made): Promise<boolean> {
  return (await findMaker(db, what)) === caller.id;
}

function nameOf(what: Made): string {
  return 'broadcast' in what ? `broadcast ${what.broadcast}` : `delivery ${what.delivery}`;
}
