/** Real entry code, fetched by scripts/downloads.sh into downloads/; a test that needs it is skipped where it cannot be had. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

/** `linux/entry_64.o`, `linux/vmlinuz`, `xen/xen-syms` …: the list stands at the head of scripts/downloads.sh. */
const DOWNLOADS = fileURLToPath(new URL('../../../downloads', import.meta.url));

/** The path of a downloaded file or folder; undefined where it is missing: the test is marked as skipped, and returns. */
export function downloaded(t: TestContext, name: string): string | undefined {
  const path = join(DOWNLOADS, name);
  const folder = name.split('/')[0]!;
  if (existsSync(join(DOWNLOADS, folder, '.complete'))) return path;
  t.skip(`downloads/${name} is missing: run scripts/downloads.sh`);
  return undefined;
}
