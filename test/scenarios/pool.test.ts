/** The processes that run a suite: order, and what becomes of a case whose process crashes or hangs. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Outcome } from '../../src/scenarios/outcome.js';
import { Pool } from '../../src/scenarios/pool.js';
import type { Case } from '../../src/scenarios/scenario.js';
import type { Job } from '../../src/scenarios/worker.js';
import { directory } from '../support/search.js';

/** A worker that does what the job's name says. */
const module = join(directory, 'worker.mjs');
writeFileSync(
  module,
  `const say = (job, extra = {}) => process.send({ kind: 'done', memory: 0, outcome: { name: job.name, title: String(process.pid), status: 'met', problems: [], saved: [], seconds: 0, ...extra } });
process.on('message', (job) => {
  const [what, ms] = job.name.split(' ');
  if (what === 'crash') { process.stderr.write('out of\\n  order', () => process.kill(process.pid, 'SIGSEGV')); }
  else if (what === 'exit') process.exit(0);
  else if (what === 'hang') setInterval(() => {}, 1000);
  else if (what === 'slow') { const t = setInterval(() => process.send({ kind: 'alive', states: 1 }), 100); setTimeout(() => { clearInterval(t); say(job); }, Number(ms)); }
  else if (what === 'large') { process.send({ kind: 'done', memory: 2 ** 40, outcome: { name: job.name, title: String(process.pid), status: 'met', problems: [], saved: [], seconds: 0 } }); }
  else say(job);
});
`,
);

async function run(names: readonly string[], workers: number, timeout = 60): Promise<Outcome[]> {
  const jobs: Job[] = names.map((name) => ({ name, title: name, cases: [] as Case[] }));
  const reported: Outcome[] = [];
  const pool = new Pool(jobs, {
    module,
    workers,
    timeout,
    colours: false,
    cache: undefined,
    onOutcome: (o) => reported.push(o),
  });
  const outcomes = await pool.run();
  assert.deepEqual(reported, outcomes);
  return outcomes;
}

test('outcomes come in the order of the jobs, whichever is done first', async () => {
  const outcomes = await run(['slow 1000', 'a', 'b', 'c'], 2);
  assert.deepEqual(
    outcomes.map((o) => [o.name, o.status]),
    [
      ['slow 1000', 'met'],
      ['a', 'met'],
      ['b', 'met'],
      ['c', 'met'],
    ],
  );
});

test('a process that crashes, ends or hangs takes only its own case with it', async () => {
  const outcomes = await run(['a', 'crash', 'b', 'exit', 'c', 'hang', 'd'], 1, 6);
  assert.deepEqual(
    outcomes.map((o) => [o.name, o.status, o.problems.join()]),
    [
      ['a', 'met', ''],
      ['crash', 'crashed', 'the process that ran it has ended by SIGSEGV: out of order'],
      ['b', 'met', ''],
      ['exit', 'crashed', 'the process that ran it has ended with status 0'],
      ['c', 'met', ''],
      ['hang', 'hung', 'no sign of life for 6 s: stopped (--timeout)'],
      ['d', 'met', ''],
    ],
  );
  // Each of the three was the last of its process.
  assert.equal(new Set([outcomes[0], outcomes[2], outcomes[4], outcomes[6]].map((o) => o!.title)).size, 4);
});

test('a process that gives signs of life may take long', async () => {
  const outcomes = await run(['slow 8000'], 1, 6);
  assert.equal(outcomes[0]!.status, 'met');
});

test('a process that has grown too large is not given another case', async () => {
  const outcomes = await run(['a', 'large', 'b'], 1);
  const [a, large, b] = outcomes.map((o) => o.title);
  assert.equal(a, large);
  assert.notEqual(large, b);
});

test('a pool that is stopped tells what was done', async () => {
  const jobs = ['a', 'hang', 'b'].map((name) => ({ name, title: name, cases: [] as Case[] }));
  const pool = new Pool(jobs, {
    ...{ module, workers: 1, timeout: 60, colours: false, cache: undefined },
    onOutcome: () => setTimeout(() => pool.stop(), 300),
  });
  assert.deepEqual(
    (await pool.run()).map((o) => o.name),
    ['a'],
  );
});
