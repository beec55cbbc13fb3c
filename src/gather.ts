/**
 * Lets concurrent callers share one batch. An idle gatherer runs a lone item at once, so nobody ever waits for company;
 * what arrives while `width` batches are under way leaves together, up to `max` at a time, when the next one finishes.
 *
 * `run` answers in the order of its items. When a batch of several fails, its items are run one by one, so that one
 * poisoned item harms no other; each caller gets its own answer or its own error.
 */
export function gather<Item, Answer>(
  run: (items: Item[]) => Promise<Answer[]>,
  { max = 100, width = 2 }: { max?: number; width?: number } = {},
): (item: Item) => Promise<Answer> {
  interface Waiting {
    item: Item;
    resolve(answer: Answer): void;
    reject(error: unknown): void;
  }
  const queue: Waiting[] = [];
  let underWay = 0;

  async function leave(): Promise<void> {
    underWay += 1;
    while (queue.length > 0) await carry(queue.splice(0, max));
    underWay -= 1;
  }

  async function carry(batch: Waiting[]): Promise<void> {
    try {
      const answers = await run(batch.map(({ item }) => item));
      for (const [index, waiting] of batch.entries()) waiting.resolve(answers[index] as Answer);
    } catch (error) {
      const [only] = batch;
      if (only && batch.length === 1) return only.reject(error);
      for (const waiting of batch) await carry([waiting]);
    }
  }

  return (item) =>
    new Promise((resolve, reject) => {
      queue.push({ item, resolve, reject });
      if (underWay < width) void leave();
    });
}
