/**
 * Lets concurrent callers share one batch. An idle gatherer runs a lone item at once, so nobody ever waits for company. What arrives
 * while batches are under way leaves together when one of them finishes, up to `max` at a time. A further batch begins before that
 * when each of those under way has taken longer than `lateMs`, so that one which waits for a lock holds nobody up; at most `width` are
 * under way. Fewer batches are larger ones, and cost less.
 *
 * `run` answers in the order of its items. When a batch of several fails because of what is in it (`isItems`), its items are run
 * one by one, so that one poisoned item harms no other. Any other failure is everybody's at once: trying a server that is away
 * again for each caller would only make the last of them wait longest.
 */
export function gather<Item, Answer>(
  run: (items: Item[]) => Promise<Answer[]>,
  {
    max = 100,
    width = 2,
    lateMs = 0,
    isItems,
  }: { max?: number; width?: number; lateMs?: number; isItems(error: unknown): boolean },
): (item: Item) => Promise<Answer> {
  interface Waiting {
    item: Item;
    resolve(answer: Answer): void;
    reject(error: unknown): void;
  }
  const queue: Waiting[] = [];
  let underWay = 0;
  let late = 0;

  function begin(): void {
    if (queue.length > 0 && underWay === late && underWay < width) void leave(queue.splice(0, max));
  }

  async function leave(batch: Waiting[]): Promise<void> {
    underWay += 1;
    let isLate = false;
    const overdue = () => {
      isLate = true;
      late += 1;
      begin();
    };
    const timer = lateMs > 0 ? setTimeout(overdue, lateMs) : overdue();
    await carry(batch);
    clearTimeout(timer ?? undefined);
    if (isLate) late -= 1;
    underWay -= 1;
    begin();
  }

  async function carry(batch: Waiting[]): Promise<void> {
    try {
      const answers = await run(batch.map(({ item }) => item));
      for (const [index, waiting] of batch.entries()) waiting.resolve(answers[index] as Answer);
    } catch (error) {
      if (batch.length > 1 && isItems(error)) for (const waiting of batch) await carry([waiting]);
      else for (const waiting of batch) waiting.reject(error);
    }
  }

  return (item) =>
    new Promise((resolve, reject) => {
      queue.push({ item, resolve, reject });
      begin();
    });
}
