/** Debuggers in tests: an image from files of asm/ or from text, and a schedule of events to begin with. */

import type { Debugger } from '../../src/debugger/debugger.js';
import { openDebugger } from '../../src/debugger/open.js';
import { addressOf } from '../../src/hooks/triggers.js';
import { asm } from './search.js';

export interface Opened {
  readonly context?: string;
  readonly platform?: string;
  readonly profile?: string;
}

export function opened(files: string | readonly string[], options: Opened = {}): Promise<Debugger> {
  return openDebugger([files].flat().map(asm), {
    platform: options.platform ?? 'linux',
    profile: options.profile ?? 'intel',
    knobs: {},
    context: options.context ?? 'kernel',
    sources: {},
    code: {},
  });
}

/** Plays a schedule, each event as `event@boundary`, and goes back to the start. */
export function play(debug: Debugger, ...schedule: readonly string[]): Debugger {
  debug.play(
    schedule.map((text) => {
      const [event, where] = text.split('@') as [string, string];
      return { event, where, address: addressOf(debug.image, where), hit: 1 };
    }),
  );
  debug.go(0);
  return debug;
}

/** The RFC's counterexample: the second NMI between the last pops and the IRETQ. */
export async function rfc(): Promise<Debugger> {
  return play(await opened('linux_nmi_rfc.S'), 'nmi@context_start+0', 'bp@do_nmi+0', 'nmi@nmi_restore+15');
}

/** `91 NMI 2 nested_nmi+6` */
export function where(debug: Debugger): string {
  const { index, owner, boundary } = debug.view().position;
  return `${index} ${owner} ${boundary}`;
}

/** What a command prints; fails if it is an error. */
export async function printed(debug: Debugger, command: string): Promise<string> {
  const { lines, error } = await debug.command(command);
  if (error) throw new Error(`${command}: ${lines.join('\n')}`);
  return lines.join('\n');
}

/** A context for each of two processors. */
export const TWO_PROCESSORS = `
	.text
	.globl	context_start, context_end, context_start_1, context_end_1
context_start:
	nop
	nop
context_end:
	jmp	context_end
context_start_1:
	nop
	nop
context_end_1:
	jmp	context_end_1
`;
