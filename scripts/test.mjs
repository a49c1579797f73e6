/**
 * Runs the compiled tests with Node's runner: `node scripts/test.mjs [part of a path...]`.
 * The last line is `N passed, N failed[, N skipped]`. Exit status 1 when a test failed or none ran.
 *
 * A test counts once; one that only holds subtests does not count. A file that ends before its tests do, with whatever
 * exit status, counts as failed: Node's runner passes over that when the status is 0.
 */
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

const counts = { passed: 0, failed: 0, skipped: 0 };
const notes = [];

function fail(note) {
  counts.failed++;
  notes.push(note);
}

// From the sources, not from build/: what was deleted from test/ must not run any more.
const wanted = process.argv.slice(2);
const files = [];
const sources = existsSync('test') ? readdirSync('test', { recursive: true }) : [];
for (const name of sources.sort()) {
  const source = join('test', name);
  if (!name.endsWith('.test.ts') || (wanted.length > 0 && !wanted.some((part) => source.includes(part)))) continue;
  const compiled = resolve('build', source.replace(/\.ts$/, '.js'));
  if (existsSync(compiled)) files.push(compiled);
  else fail(`${source}: not compiled; run make build`);
}

if (files.length > 0) {
  const stream = run({ files, concurrency: availableParallelism() });
  const isFile = (data) => data.nesting === 0 && resolve(data.name) === data.file;
  const pending = new Map(files.map((file) => [file, 0]));
  const hasSubtests = [];
  const settle = (data, passed) => {
    const subtests = hasSubtests[data.nesting + 1] ?? false;
    hasSubtests[data.nesting + 1] = false;
    hasSubtests[data.nesting] = true;
    if (isFile(data)) {
      if (passed) fail(`${relative(root, data.file)}: ended without a test`);
      else counts.failed++;
      return;
    }
    if (data.nesting === 0) pending.set(data.file, (pending.get(data.file) ?? 0) - 1);
    if (passed && (subtests || data.details?.type === 'suite')) return;
    if (!passed && data.details?.error?.failureType === 'subtestsFailed') return;
    const skipped = data.skip !== undefined || (data.todo !== undefined && !passed);
    counts[skipped ? 'skipped' : passed ? 'passed' : 'failed']++;
  };
  stream.on('test:enqueue', (data) => {
    if (data.nesting === 0 && !isFile(data)) pending.set(data.file, (pending.get(data.file) ?? 0) + 1);
  });
  stream.on('test:pass', (data) => settle(data, true));
  stream.on('test:fail', (data) => settle(data, false));
  for await (const text of stream.compose(new spec())) process.stdout.write(text);
  for (const [file, tests] of pending) {
    if (tests > 0) fail(`${relative(root, file)}: ended before its tests did (unfinished: ${tests})`);
  }
}

for (const note of notes) console.log(note);
if (counts.passed + counts.failed === 0) console.log('no test ran');
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;
