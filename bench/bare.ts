// What a script would do: POSTs the same body to many URLs at once, in a process of its own, with as many connections to one origin as
// a worker may open. The parent says when, and is told when it began.
import { Agent } from 'undici';

const agent = new Agent({ connections: 512, pipelining: 1 });

process.on('message', ({ urls, body }: { urls: string[]; body: string }) => {
  const began = Number(process.hrtime.bigint()) / 1e6;
  const post = async (url: string, n: number) => {
    const { origin, pathname } = new URL(url);
    const answer = await agent.request({
      origin,
      path: pathname,
      method: 'POST',
      headers: { 'content-type': 'application/json', 'webhook-id': `bare-${n}` },
      body,
    });
    await answer.body.dump();
  };
  void Promise.all(urls.map(post)).then(() => process.send?.({ began }));
});
process.on('disconnect', () => process.exit());
