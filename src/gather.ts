/**
 * Lets concurrent callers share one batch. An idle gatherer runs a lone item at once, so nobody ever waits for company;
 * what arrives while `width` batches are under way leaves together, up to `max` at a time, when the next one finishes.
 *
 * `run` answers in the order of its items. When a batch of several fails because of what is in it (`isItems`), its items are run
 * one by one, so that one poisoned item harms no other. Any other failure is everybody's at once: trying a server that is away
 * again for each caller would only make the last of them wait longest.
 */
export function gather<Item, Answer>(
  run: (items: Item[]) => Promise<Answer[]>,
  { max = 100, width = 2, isItems }: { max?: number; width?: number; isItems(error: unknown): boolean },
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
      if (batch.length > 1 && isItems(error)) for (const waiting of batch) await carry([waiting]);
      else for (const waiting of batch) waiting.reject(error);
    }
  }

  return (item) =>
    new Promise((resolve, reject) => {
      queue.push({ item, resolve, reject });
      if (underWay < width) void leave();
    });
}
