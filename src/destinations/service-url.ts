import { z } from 'zod';

/** The base URL of a service: a regional host or a stand-in may take its place, but nothing may hide in it. */
export const ServiceUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' })
  .max(2048)
  .refine((text) => {
    const url = URL.parse(text);
    return !url || (url.username === '' && url.password === '' && url.search === '' && url.hash === '');
  }, 'must not contain credentials, a query or a fragment');

/** The same for both ways of writing one base URL. */
export function serviceOf(apiUrl: string): string {
  return apiUrl.replace(/\/+$/, '');
}

/** `path` below `base`, whether or not the base ends with a slash. */
export function below(base: string, path: string): string {
  return `${base.replace(/\/+$/, '')}/${path}`;
}
