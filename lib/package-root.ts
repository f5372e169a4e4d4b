/** Of the installed package. This file lies in `lib`, and every file of the bundle in `dist`. */
export const packageRoot = new URL('..', import.meta.url);
