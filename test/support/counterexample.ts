/** The counterexample of the RFC's NMI handler, for tests of the debugger's front ends: rdi is lost at nmi_restore+15. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Debugger } from '../../src/debugger/debugger.js';
import { openDebugger } from '../../src/debugger/open.js';
import { ASM_DIRECTORY } from '../../src/platforms/subject.js';

const directory = mkdtempSync(join(tmpdir(), 'entrace-debugger-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

/** A scenario that is this schedule: opened, the debugger stands at its failure. */
export const COUNTEREXAMPLE = join(directory, 'rfc.yaml');
writeFileSync(
  COUNTEREXAMPLE,
  `title: a nested NMI loses rdi
image: ${join(ASM_DIRECTORY, 'linux_nmi_rfc.S')}
context: kernel
schedule: [nmi@context_start+0, bp@do_nmi+0, nmi@nmi_restore+15]
expect:
  fails:
    context: [nmi@nmi_restore+15]
`,
);

/** Where it fires the second NMI, and where it stands when it has been opened. */
export const SECOND_NMI = 84;
export const FAILURE = 175;

export function openCounterexample(): Promise<Debugger> {
  return openDebugger([COUNTEREXAMPLE], {
    platform: 'linux',
    profile: 'intel',
    knobs: {},
    context: 'kernel',
    sources: {},
    code: {},
  });
}
