/** The built page, read once: what is not in this table is not served, whatever a path says. */
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InputError } from '../errors.js';

export interface StaticFile {
  readonly type: string;
  readonly bytes: Buffer;
}

const DIRECTORY = fileURLToPath(new URL('../../web', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** By URL path; `/` is the page. */
export function readStaticFiles(directory = DIRECTORY): ReadonlyMap<string, StaticFile> {
  const files = new Map<string, StaticFile>();
  let names: string[];
  try {
    names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  } catch {
    names = [];
  }
  for (const name of names) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const path = join(directory, name);
    const url = `/${relative(directory, path).split('\\').join('/')}`;
    files.set(url === '/index.html' ? '/' : url, { type, bytes: readFileSync(path) });
  }
  if (!files.has('/')) throw new InputError('entrace serve: the page is not built; run make build');
  return files;
}
