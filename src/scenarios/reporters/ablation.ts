/** How an ablation is reported: which mutants are caught, by which property, and which survive. */
import type { Mutant } from '../../ablation/mutants.js';
import { plural } from '../../report/names.js';
import type { Paint } from '../../report/text.js';
import type { Outcome } from '../outcome.js';

/**
 * `caught`: a property fails, or the expected failures are others; `refused`: the code does something that ends the search
 * without a verdict; `open`: the search was not closed, crashed or hung; `survived`: everything comes out as without it.
 */
export type Fate = 'caught' | 'refused' | 'open' | 'survived';

export interface Ablated {
  readonly mutant: Mutant;
  readonly outcome: Outcome;
  readonly fate: Fate;
  /** For what survives or stays open, if it is known to: why. */
  readonly reason: string | undefined;
}

export function fateOf({ status }: Outcome): Fate {
  if (status === 'met') return 'survived';
  if (status === 'unmet') return 'caught';
  return status === 'bad-input' ? 'refused' : 'open';
}

/** Neither caught nor refused: somebody has to say why. */
export function isLeft(fate: Fate): boolean {
  return fate === 'survived' || fate === 'open';
}

/** One line: `caught    remove nmi+3  (jz nmi_from_kernel)  context, progress`. */
export function mutantLine({ mutant, outcome, fate, reason }: Ablated, paint: Paint): string {
  const style = !isLeft(fate) ? 'green' : reason !== undefined ? 'dim' : fate === 'survived' ? 'red' : 'yellow';
  const why = reason ?? (fate === 'survived' ? 'no property fails' : caughtBy(outcome));
  return `${paint(style, fate.padEnd(8))} ${paint('bold', mutant.name)} (${mutant.text}): ${why}`;
}

/** The properties that fail, or what else is wrong. */
function caughtBy(outcome: Outcome): string {
  const failures = outcome.status === 'unmet' ? (outcome.result?.failures ?? []) : [];
  const properties = [...new Set(failures.map((f) => f.property))];
  return properties.length > 0 ? properties.join(', ') : outcome.problems.join('; ');
}

export function ablationSummary(all: readonly Ablated[], left: number, seconds: number, paint: Paint): string {
  const of = (fate: Fate): Ablated[] => all.filter((a) => a.fate === fate);
  const survivors = of('survived');
  const unknown = survivors.filter((a) => a.reason === undefined);
  const known = survivors.length - unknown.length;
  const lines = [
    `${plural(all.length, 'mutant')}, ${seconds.toFixed(1)} s: ${of('caught').length} caught, ${of('refused').length} refused, ${survivors.length} survived${known > 0 ? ` (${known} known)` : ''}, ${of('open').length} not closed`,
  ];
  const byProperty = new Map<string, number>();
  for (const { outcome } of of('caught')) {
    for (const property of new Set(outcome.result?.failures.map((f) => f.property))) {
      byProperty.set(property, (byProperty.get(property) ?? 0) + 1);
    }
  }
  for (const [property, n] of [...byProperty].sort((a, b) => b[1] - a[1])) lines.push(`  ${property} catches ${n}`);
  const open = of('open').filter((a) => a.reason === undefined);
  if (open.length > 0) lines.push(paint('yellow', `${plural(open.length, 'mutant')} without a closed search`));
  if (left > 0) lines.push(paint('yellow', `interrupted: ${plural(left, 'mutant')} not run`));
  for (const { mutant } of unknown) lines.push(`${paint('red', 'survived')} ${mutant.name} (${mutant.text})`);
  return lines.join('\n');
}

/** The same as a page: what survives and why, then what catches the others. */
export function ablationPage(title: string, how: string, all: readonly Ablated[]): string {
  const code = (text: string): string => `\`${text}\``;
  const survivors = all.filter((a) => a.fate === 'survived');
  const open = all.filter((a) => a.fate === 'open');
  const rest = all.filter((a) => !isLeft(a.fate));
  const lines = [
    `# Ablation of ${title}`,
    '',
    how,
    '',
    `${plural(all.length, 'mutant')}: ${all.filter((a) => a.fate === 'caught').length} caught, ${all.filter((a) => a.fate === 'refused').length} refused (the search ends without a verdict), ${survivors.length} survive, ${open.length} cannot be closed (a suite with one of these fails, too).`,
    '',
    '## Survivors',
    '',
  ];
  for (const { mutant, reason } of survivors) {
    lines.push(`- **${mutant.name}** (${code(mutant.text)}): ${reason ?? 'not yet explained'}`);
  }
  if (open.length > 0) lines.push('', '## Not closed', '');
  for (const { mutant, reason, outcome } of open) {
    lines.push(`- **${mutant.name}** (${code(mutant.text)}): ${reason ?? caughtBy(outcome)}`);
  }
  lines.push('', '## Caught', '', '| mutant | code | by |', '|---|---|---|');
  for (const a of rest) {
    lines.push(
      `| ${a.mutant.name} | ${code(a.mutant.text).replaceAll('|', '\\|')} | ${a.fate === 'caught' ? '' : `${a.fate}: `}${caughtBy(a.outcome).replaceAll('|', '\\|')} |`,
    );
  }
  return `${lines.join('\n')}\n`;
}
