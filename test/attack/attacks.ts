import { bodies } from './attacks/bodies.ts';
import { floods } from './attacks/floods.ts';
import { mail } from './attacks/mail.ts';
import { places } from './attacks/places.ts';
import { replies } from './attacks/replies.ts';
import { errorTexts } from './attacks/texts.ts';
import type { Attack } from './trial.ts';

/** In the order in which they are tried. */
export const attacks: readonly Attack[] = [...errorTexts, ...replies, ...mail, ...bodies, ...floods, ...places];
