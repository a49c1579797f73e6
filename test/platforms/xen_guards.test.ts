/** A guard taken out of Xen's own executable, in its bytes: the verdict turns red, at the boundaries that it guards. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { parsePlaces } from '../../src/explore/bound.js';
import { searchHere } from '../../src/explore/threads.js';
import { loadSubject } from '../../src/platforms/subject.js';
import { XEN } from '../../src/platforms/xen.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { PROPERTIES } from '../../src/properties/index.js';
import { downloaded } from '../support/downloads.js';

const assembler = await Assembler.create();
const directory = mkdtempSync(join(tmpdir(), 'entrace-xen-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

/** Code as hexadecimal digits, and which of its bytes become what. */
interface Change {
  readonly code: string;
  readonly at: number;
  readonly bytes: string;
}

/** A copy of xen-syms with a change, and without it: undefined where it cannot be had, or its code is another. */
function versions(t: TestContext, { code, at, bytes }: Change): readonly [whole: string, changed: string] | undefined {
  const file = downloaded(t, 'xen/xen-syms');
  if (file === undefined) return undefined;
  const data = readFileSync(file);
  const wanted = Buffer.from(code, 'hex');
  const place = data.indexOf(wanted);
  if (place < 0 || data.indexOf(wanted, place + 1) >= 0) {
    t.skip('this version of xen-syms has other code there');
    return undefined;
  }
  data.set(Buffer.from(bytes, 'hex'), place + at);
  const changed = join(directory, 'xen-syms');
  writeFileSync(changed, data);
  return [file, changed];
}

interface Search {
  readonly context: string;
  readonly features?: readonly string[];
  readonly bound: Readonly<Record<string, number>>;
  readonly at?: readonly string[];
  readonly property: string;
}

/** The boundaries at which the property fails. */
async function failing(file: string, { context, features, bound, at = [], property }: Search): Promise<Set<string>> {
  const subject = await loadSubject(assembler, {
    files: [file],
    platform: XEN,
    context,
    ...(features && { features }),
  });
  const result = searchHere({
    subject,
    profile: profileNamed('intel'),
    properties: PROPERTIES.map((p) => p.name),
    bound,
    places: parsePlaces(at, subject.image, subject.platform, bound),
  });
  assert.equal(result.verdict === 'open', false);
  const failures = result.failures.filter((f) => f.property === property);
  return new Set(failures.map((f) => f.boundary));
}

test('an NMI that does not put use_pv_cr3 back leaves a guest on the hypervisor’s page tables', async (t) => {
  // In handle_ist_exception: mov %r15, xen_cr3; mov %bl, use_pv_cr3, which becomes a NOP; mov $1, %r12d.
  const files = versions(t, { code: '4d897ee141885eff41bc01000000', at: 4, bytes: '0f1f4000' });
  if (files === undefined) return;
  const search = { context: 'hypercall', features: ['xpti'], bound: { nmi: 1 }, property: 'context' };
  assert.deepEqual(await failing(files[0], search), new Set());
  const boundaries = await failing(files[1], search);
  // From the MOV to CR3 to the SYSRET.
  assert.ok(boundaries.has('restore_all_guest+31') && boundaries.has('restore_all_guest+70'));
  assert.ok(!boundaries.has('restore_all_guest+29') && !boundaries.has('lstar_stub+0'));
});

test('an NMI of a guest that stays on its IST stack loses its frame to the next one', async (t) => {
  // testb $3, UREGS_cs; je: over the copy to the primary stack, which is now left out always.
  const files = versions(t, { code: 'f684248800000003742f4d31ff', at: 8, bytes: 'eb' });
  if (files === undefined) return;
  const search = {
    context: 'user',
    bound: { nmi: 2, bp: 1 },
    at: ['nmi=context_start+0', 'nmi=do_nmi..do_nmi_end', 'bp=do_nmi+3'],
    property: 'progress',
  };
  assert.deepEqual(await failing(files[0], search), new Set());
  const boundaries = await failing(files[1], search);
  for (let n = 3; n <= 16; n++) assert.ok(boundaries.has(`do_nmi+${n}`), `do_nmi+${n}`);
});
