/** `npm run fuzz -- [--count N] [--seed N] [--from N] [--target NAME]`: opens damaged files, and says what became of them. */
import { parseArgs } from 'node:util';
import { fuzz } from './fuzz.js';
import { TARGETS } from './fuzz_targets.js';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
    target: { type: 'string' },
  },
});
const targets = TARGETS.filter(({ name }) => values.target === undefined || name === values.target);
if (targets.length === 0)
  throw new Error(`there is no target ${values.target}: ${TARGETS.map((t) => t.name).join(', ')}`);
for (const target of targets) {
  const start = performance.now();
  const result = await fuzz(target, Number(values.seed), Number(values.count), Number(values.from));
  const { opened, refused, messages, slowest, memory, failures } = result;
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  console.log(
    `${target.name}: ${opened} opened, ${refused} refused with ${messages.size} messages, ${failures.length} failed; slowest ${slowest.toFixed(0)} ms, ${memory.toFixed(0)} MiB, ${seconds} s`,
  );
  for (const [message, n] of [...messages].sort((a, b) => b[1] - a[1]))
    console.log(`  ${String(n).padStart(7)}  ${message}`);
  for (const { input, seed, problem } of failures) console.log(`input ${input} (of ${seed}): ${problem}`);
  if (failures.length > 0) process.exitCode = 1;
}
