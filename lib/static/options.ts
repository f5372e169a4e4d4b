/** Options of `ktls/serve-static`, checked and frozen. */
import { resolve } from 'node:path';
import type { SendOptions } from '@fastify/send';
import { invalidArgument } from '../errors.js';

export interface ServeStaticOptions {
  /**
   * What becomes of names that begin with a dot: not found (`'ignore'`, the default), forbidden (`'deny'`),
   * or nothing special (`'allow'`).
   */
  dotfiles?: 'ignore' | 'deny' | 'allow' | undefined;
  /** The files that stand for a directory. Default `['index.html']`; `false` for none. */
  index?: string | readonly string[] | false | undefined;
  /** To try, in this order, for a name without one: `['html']`. Default none. */
  extensions?: readonly string[] | undefined;
  /** How long a cache may use an answer without asking, in milliseconds. Default 0. */
  maxAge?: number | undefined;
  /** The files never change within `maxAge`: caches do not even ask on reload. Default `false`. */
  immutable?: boolean | undefined;
  /** `Cache-Control`. Default `true`. */
  cacheControl?: boolean | undefined;
  /** Default `true`. */
  etag?: boolean | undefined;
  /** Default `true`. */
  lastModified?: boolean | undefined;
  /** Parts of files (`Range`). Default `true`. */
  acceptRanges?: boolean | undefined;
  /**
   * Sends `name.br` or `name.gz` in place of `name` to whom that encoding suits, where there is such a file.
   * Default `false`.
   */
  precompressed?: boolean | undefined;
  /** Redirects from `/directory` to `/directory/`. Default `true`. */
  redirect?: boolean | undefined;
  /**
   * Leaves requests that no file answers to `next`, where there is one. Otherwise they get 404 and the
   * like. Default `true`.
   */
  fallthrough?: boolean | undefined;
}

export interface StaticSettings {
  readonly root: string;
  /** What is the library's business. */
  readonly send: SendOptions;
  readonly precompressed: boolean;
  readonly redirect: boolean;
  readonly fallthrough: boolean;
}

const flags = [
  ...(['immutable', 'cacheControl', 'etag', 'lastModified', 'acceptRanges'] as const),
  ...(['precompressed', 'redirect', 'fallthrough'] as const),
];
const names = new Set<string>([...flags, 'dotfiles', 'index', 'extensions', 'maxAge']);

/** @throws TypeError `ERR_INVALID_ARG_VALUE`, for an unknown option too. */
export function parseServeStatic(root: string, options: ServeStaticOptions = {}): StaticSettings {
  const check = (name: string, fine: boolean, expected: string, value: unknown): void => {
    if (!fine) throw invalidArgument(`option '${name}'`, expected, value);
  };
  if (typeof (root as unknown) !== 'string' || root === '' || root.includes('\0')) {
    throw invalidArgument('root', 'must be the path of a directory', root);
  }
  for (const name of Object.keys(options)) check(name, names.has(name), 'is unknown', name);
  for (const name of flags) {
    const value: unknown = options[name];
    check(name, value === undefined || typeof value === 'boolean', 'must be a boolean', value);
  }
  const { dotfiles = 'ignore', index = ['index.html'], extensions = [], maxAge = 0 } = options;
  const isName = (name: unknown): boolean => typeof name === 'string' && !/[/\0]/.test(name);
  const isList = (value: unknown): boolean => Array.isArray(value) && value.every(isName);
  check(
    'dotfiles',
    ['ignore', 'deny', 'allow'].includes(dotfiles),
    "must be 'ignore', 'deny' or 'allow'",
    dotfiles,
  );
  check(
    'index',
    index === false || isName(index) || isList(index),
    'must be file names or false',
    index,
  );
  check('extensions', isList(extensions), 'must be a list of extensions', extensions);
  check('maxAge', Number.isFinite(maxAge) && maxAge >= 0, 'must be a number of at least 0', maxAge);
  const {
    immutable = false,
    cacheControl = true,
    etag = true,
    lastModified = true,
    acceptRanges = true,
    precompressed = false,
    redirect = true,
    fallthrough = true,
  } = options;
  const place = resolve(root);
  const send: SendOptions = {
    root: place,
    dotfiles,
    index: index === false ? false : [index].flat(),
    extensions: extensions.map((extension) => extension.replace(/^\./, '')),
    maxAge,
    immutable,
    cacheControl,
    etag,
    lastModified,
    acceptRanges,
  };
  return Object.freeze({ root: place, send, precompressed, redirect, fallthrough });
}
