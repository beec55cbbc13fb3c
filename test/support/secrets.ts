/** Every secret in a request of ours: what stands below `secrets`, and what is called `secret`; of URLs, their passwords and signatures too. */
export function secretsIn(body: unknown): string[] {
  if (body === null || typeof body !== 'object') return [];
  return Object.entries(body).flatMap(([name, value]) => {
    if (name === 'secrets') return Object.entries(value as object).flatMap(secretsOf);
    return name === 'secret' ? secretsOf([name, value]) : secretsIn(value);
  });
}

function secretsOf([name, value]: [string, unknown]): string[] {
  // An e-mail address says whose secret it is.
  if (typeof value !== 'string' || name === 'email') return [];
  const url = URL.parse(value);
  const parts = url ? [url.password, url.searchParams.get('sig') ?? ''] : [];
  return [value, ...parts].filter((text) => text.length >= 8);
}
