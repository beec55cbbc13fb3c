import { type Severity, severities } from '../message.ts';

/** 1 for critical … 4 for info: the lower one overtakes. */
export function priorityOf(severity: Severity): number {
  return severities.indexOf(severity) + 1;
}
