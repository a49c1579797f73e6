/**
 * A process of its own for the debugger's measure: it runs a path of 100,000 transitions, steps back at places all over it, each time with
 * the whole view that a front end draws, and prints one JSON object.
 */
import { fileURLToPath } from 'node:url';
import { openDebugger } from '../src/debugger/open.js';

/** Steps back, and the first ones, which the engine still compiles, that do not count. */
const STEPS = 200;
const WARM = 20;

const root = new URL('../../', import.meta.url);
const debug = await openDebugger([fileURLToPath(new URL('asm/linux_nmi.S', root))], {
  platform: 'linux',
  profile: 'intel',
  knobs: {},
  context: fileURLToPath(new URL('bench/long_context.S', root)),
  sources: {},
  code: {},
});
await debug.continue();
const { index: transitions } = debug.position;
const times: number[] = [];
for (let i = 0; i < WARM + STEPS; i++) {
  debug.go(1 + ((i * 7919) % transitions));
  const began = performance.now();
  await debug.reverseStep();
  debug.view();
  times.push(performance.now() - began);
}
const sorted = times.slice(WARM).sort((a, b) => a - b);
const measured = {
  transitions,
  /** Milliseconds. */
  median: sorted[STEPS >> 1],
  worst: sorted.at(-1),
  /** MiB. */
  resident: process.resourceUsage().maxRSS / 1024,
};
process.stdout.write(`${JSON.stringify(measured)}\n`);
