/** Where no credential's limit is shared, the limit is the destination's own: SQL for its name in `budgets`. */
export function ownBudget(destination: string): string {
  return `'to ' || ${destination}`;
}

/** After a budget's name: what its looks spend. A service that refuses to be asked may still take messages. */
export const looksOf = ' looks';

/** SQL for the budget that a destination `t` spends from. */
export const budgetOf = `coalesce(t.budget, ${ownBudget('t.name')})`;
