/** entrace replay: one saved schedule, run strictly. */
import { Assembler } from '../assembler/index.js';
import { located } from '../errors.js';
import { readPathFile, refuseOtherImage, savedProfile, subjectOf } from '../explore/path_file.js';
import { addressOf } from '../hooks/triggers.js';
import { selectProperties } from '../properties/index.js';
import { traceOf } from '../report/path.js';
import { counterexample, describe, paintFor } from '../report/text.js';
import { EXIT } from './exit.js';

export interface ReplayOptions {
  readonly trace?: boolean;
}

export async function replay(file: string, options: ReplayOptions): Promise<number> {
  const saved = readPathFile(file);
  // What does not fit the image or the profiles is an error of the path file.
  const { profile } = located(file, () => savedProfile(saved));
  selectProperties(saved.property);
  const subject = await subjectOf(await Assembler.create(), saved);
  refuseOtherImage(file, saved, subject.image);
  const { path, trace } = located(file, () => {
    const path = saved.path.map((e) => ({
      ...e,
      event: e.event,
      address: addressOf(subject.image, e.boundary),
    }));
    return { path, trace: traceOf(subject, profile, path) };
  });
  const paint = paintFor(process.stdout);
  if (options.trace) {
    const width = Math.max(...trace.steps.map((s) => subject.image.name(s.address).length), 0);
    for (const step of trace.steps) {
      process.stdout.write(
        `${step.owner.padEnd(8)} ${subject.image.name(step.address).padEnd(width)}  ${describe(step)}\n`,
      );
    }
    process.stdout.write('\n');
  }
  if (trace.broken.length === 0 && trace.run.ending === 'limit') {
    process.stdout.write(
      `${file}: nothing broken so far, but the path has not ended after ${trace.steps.length} transitions\n`,
    );
    return EXIT.OPEN;
  }
  if (trace.broken.length === 0) {
    process.stdout.write(`${file}: ${trace.steps.length} transitions, every property holds on this path\n`);
    return EXIT.HOLDS;
  }
  const first = trace.broken.find((b) => b.property === saved.property) ?? trace.broken[0]!;
  const names = [...new Set(trace.broken.map((b) => b.property))];
  const other = names.includes(saved.property) ? '' : `, but not ${saved.property}, which it was saved for`;
  process.stdout.write(`${file}: ${trace.steps.length} transitions; broken: ${names.join(', ')}${other}\n\n`);
  process.stdout.write(
    `${paint('red', first.property)}: ${first.sentence}\n${counterexample(trace, first, path, paint)}\n`,
  );
  return EXIT.FAILS;
}
