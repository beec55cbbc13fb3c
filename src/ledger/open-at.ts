/**
 * SQL for the open deliveries at a destination. Each part names the index that has all of it: the planner would otherwise read all that
 * ever went there.
 */
export const openAt = (destination: string, columns: string) => `(
  select ${columns} from deliveries where destination = ${destination} and due_at is not null
  union all
  select ${columns} from deliveries where destination = ${destination} and lease_until is not null
  union all
  select ${columns} from deliveries where destination = ${destination} and state = 'held')`;
