/** Xen's own executable: what is told by its code, and how the machine is set up for it. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { Reg } from '../../src/cpu/registers.js';
import { InputError } from '../../src/errors.js';
import { searchHere } from '../../src/explore/threads.js';
import type { Machine } from '../../src/harness/machine.js';
import type { Module } from '../../src/image/module.js';
import { machineFor } from '../../src/platforms/boot.js';
import { readBinaries } from '../../src/platforms/read_module.js';
import { type BuildOptions, loadSubject, type Subject } from '../../src/platforms/subject.js';
import { XEN } from '../../src/platforms/xen.js';
import { generatedEntries, vcpuFields } from '../../src/platforms/xen_structures.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { PROPERTIES } from '../../src/properties/index.js';
import { downloaded } from '../support/downloads.js';
import { makeExecutable } from '../support/executable.js';
import { source } from '../support/search.js';

const assembler = await Assembler.create();

/** The entry code of a hypervisor: `code` lies between the symbols that say where it is. */
function hypervisor(code: string, more = ''): string {
  return makeExecutable(`
	.text
	.globl	_stextentry, _etextentry, nmi, autogen_entrypoints, asm_exc_nmi
_stextentry:
asm_exc_nmi:
nmi:
	${code}
	iretq
_etextentry:
	nop
	${more}
	.data
autogen_entrypoints:
	.fill	9, 8, 0
	.quad	nmi
	.fill	22, 8, 0
	.quad	_etextentry
	.fill	223, 8, 0
`);
}

async function moduleFrom(file: string): Promise<Module> {
  return (await readBinaries([file])).get(file)!;
}

async function fieldsOf(code: string): ReturnType<typeof vcpuFieldsOf> {
  return vcpuFieldsOf(hypervisor(code));
}

async function vcpuFieldsOf(file: string): Promise<ReturnType<typeof vcpuFields>> {
  return vcpuFields(await moduleFrom(file), XEN);
}

const NONE = { pointers: [], cr3: undefined, flags: undefined };

test('a field of struct vcpu whose value is then an address is a pointer', async () => {
  assert.deepEqual(await fieldsOf('mov 0x18(%rbx), %rdx\n mov (%rdx), %eax'), { ...NONE, pointers: [0x18] });
  assert.deepEqual(await fieldsOf('mov 0x18(%rbx), %rdx\n mov %rcx, %rdx\n mov (%rdx), %eax'), NONE);
  assert.deepEqual(await fieldsOf('mov 0x18(%rbx), %rdx\n call nmi\n mov (%rdx), %eax'), NONE);
  assert.deepEqual(await fieldsOf('mov 0x18(%rbx), %edx\n mov (%rdx), %eax'), NONE);
  // cpu_info, from the last byte of the stack.
  assert.deepEqual(await fieldsOf('mov -0x37(%rbx), %rdx\n mov (%rdx), %eax'), NONE);
  assert.deepEqual(await fieldsOf('mov 8(%rbx), %rax\n mov 0x10(%rbx), %rcx\n pushq 1(%rax)\n testb $8, 4(%rcx)'), {
    ...NONE,
    pointers: [8, 0x10],
  });
});

test('the fields for the guest’s CR3 and for whether its kernel runs', async () => {
  assert.deepEqual(await fieldsOf('mov 0xb28(%rbx), %r9\n mov %r9, -0x1f(%rdx)'), { ...NONE, cr3: 0xb28 });
  assert.deepEqual(await fieldsOf('mov 0xb28(%rbx), %r9\n mov %r9, -0x17(%rdx)'), NONE);
  assert.deepEqual(await fieldsOf('testb $1, 0x380(%rbx)'), { ...NONE, flags: 0x380 });
  assert.deepEqual(await fieldsOf('testb $4, 0x3cc(%rbx)'), NONE);
});

test('the table of generated entries', async () => {
  const entries = generatedEntries(await moduleFrom(hypervisor('nop')));
  assert.deepEqual([...entries.keys()], [9, 32]);
  assert.equal(entries.get(9), 0xffffffff81000000n);
});

function load(file: string, more: Partial<BuildOptions> = {}): Promise<Subject> {
  return loadSubject(assembler, { files: [file], platform: XEN, context: 'kernel', ...more });
}

async function machineOf(
  file: string,
  more: Partial<BuildOptions> = {},
): Promise<{ subject: Subject; machine: Machine }> {
  const subject = await load(file, more);
  return { subject, machine: machineFor(subject, profileNamed('intel')) };
}

/** cpu_info of the processor. */
const CPU_INFO = XEN.stacks.find((s) => s.name === 'primary')!.top + 96n - 264n;
const read = (machine: Machine, address: bigint): bigint => machine.memory.peek64(address)!;

test('Xen 4.17: cpu_info, the running vCPU and what its pointers lead to', async (t) => {
  const file = downloaded(t, 'xen/xen-syms');
  if (file === undefined) return;
  const { subject, machine } = await machineOf(file);
  const vcpu = subject.image.find('running_vcpu')!.address;
  assert.equal(read(machine, CPU_INFO + 208n), vcpu);
  assert.equal(read(machine, CPU_INFO + 216n), 0n, 'the per-CPU area of processor 0 is the executable’s own');
  const { pointers, cr3, flags } = await vcpuFieldsOf(file);
  // vcpu_info, domain, pv.trap_ctxt, msrs.
  assert.deepEqual(pointers, [8, 0x10, 0x490, 0xbf0]);
  assert.deepEqual([cr3, flags], [0xb28, 0x380]);
  const pages = pointers.map((offset) => read(machine, vcpu + BigInt(offset)));
  assert.equal(new Set(pages).size, 4);
  for (const page of pages) assert.equal(read(machine, page), 0n);
  assert.equal(read(machine, vcpu + BigInt(flags!)), 1n);
  assert.equal(machine.cpu.regs.u64[Reg.LSTAR], subject.image.find('lstar_stub')!.address);
});

test('Xen 4.17: the gates lead where its C code lets them lead', async (t) => {
  const file = downloaded(t, 'xen/xen-syms');
  if (file === undefined) return;
  const { subject, machine } = await machineOf(file);
  const gate = (vector: number): { readonly to: string; readonly ist: number; readonly dpl: number } => {
    const low = read(machine, XEN.idtBase + BigInt(16 * vector));
    const high = read(machine, XEN.idtBase + BigInt(16 * vector + 8));
    const address = (low & 0xffffn) | ((low >> 32n) & 0xffff0000n) | ((high & 0xffffffffn) << 32n);
    return { to: subject.image.name(address), ist: Number((low >> 32n) & 7n), dpl: Number((low >> 45n) & 3n) };
  };
  assert.deepEqual(gate(1), { to: 'debug+0', ist: 3, dpl: 0 });
  assert.deepEqual(gate(2), { to: 'nmi+0', ist: 2, dpl: 0 });
  assert.deepEqual(gate(8), { to: 'double_fault+0', ist: 4, dpl: 0 });
  assert.deepEqual(gate(18), { to: 'machine_check+0', ist: 1, dpl: 0 });
  assert.deepEqual(gate(3), { to: 'int3+0', ist: 0, dpl: 3 });
  assert.deepEqual(gate(0x80), { to: 'int80_direct_trap+0', ist: 0, dpl: 3 });
  assert.match(gate(0xfc).to, /^autogen_stubs\+/);
});

test('Xen 4.17: with isolation a guest runs on its own tables, and cpu_info says so', async (t) => {
  const file = downloaded(t, 'xen/xen-syms');
  if (file === undefined) return;
  const words = async (context: string, features: string[]): Promise<bigint[]> => {
    const { machine } = await machineOf(file, { context, features });
    return [machine.cpu.regs.u64[Reg.CR3]!, ...[232n, 240n, 256n].map((at) => read(machine, CPU_INFO + at))];
  };
  const guest = XEN.isolation.cr3;
  assert.deepEqual(await words('user', ['xpti']), [guest, XEN.cr3, guest, 1n << 48n]);
  assert.deepEqual(await words('kernel', ['xpti']), [XEN.cr3, 0n, guest, 0n]);
  assert.deepEqual(await words('user', ['none']), [XEN.cr3, 0n, 0n, 0n]);
});

test('Xen 4.17: SPEC_CTRL and the flags about it go with the features', async (t) => {
  const file = downloaded(t, 'xen/xen-syms');
  if (file === undefined) return;
  const words = async (context: string, features: string[]): Promise<bigint[]> => {
    const { machine } = await machineOf(file, { context, features });
    return [machine.cpu.regs.u64[Reg.SPEC_CTRL]!, ...[248n, 256n].map((at) => read(machine, CPU_INFO + at))];
  };
  assert.deepEqual(await words('kernel', ['sc_msr_pv']), [1n, 1n << 32n, 2n << 32n]);
  assert.deepEqual(await words('user', ['sc_msr_pv', 'sc_rsb_pv']), [0n, 1n << 32n, 7n << 32n]);
  assert.deepEqual(await words('user', ['sc_rsb_pv']), [0n, 0n, 4n << 32n]);
});

test('Xen 4.17: its entry code runs itself, C functions have stand-ins', async (t) => {
  const file = downloaded(t, 'xen/xen-syms');
  if (file === undefined) return;
  const { image, standIns } = await load(file);
  const replaced = (name: string): boolean => image.find(`${name}.replaced`) !== undefined;
  for (const name of ['do_nmi', 'do_int3', 'pv_hypercall', 'toggle_guest_mode']) {
    assert.ok(standIns.includes(name) && replaced(name), name);
  }
  for (const name of ['do_machine_check', 'do_softirq', 'send_IPI_self', 'do_IRQ']) {
    assert.ok(!standIns.includes(name) && replaced(name), name);
  }
  for (const name of ['ret_from_intr', 'test_all_events', 'create_bounce_frame', 'search_pre_exception_table']) {
    assert.ok(!replaced(name), name);
  }
});

test('Xen 4.17: a context of two processors is refused', async (t) => {
  const file = downloaded(t, 'xen/xen-syms');
  if (file === undefined) return;
  const one = (suffix: string): string =>
    `\t.globl context_start${suffix}, context_end${suffix}\ncontext_start${suffix}:\n\tnop\ncontext_end${suffix}:\n\tjmp context_end${suffix}\n`;
  const context = source(`\t.text\n${one('')}${one('_1')}`, 'context.S');
  await assert.rejects(load(file, { context }), (error: unknown) => {
    assert.ok(error instanceof InputError);
    assert.match(error.message, /2 processors.*one processor can be run/);
    return true;
  });
});

test('Xen 4.17: a guest’s hypercall comes back by SYSRET, whatever NMI comes', async (t) => {
  const file = downloaded(t, 'xen/xen-syms');
  if (file === undefined) return;
  const subject = await load(file, { context: 'hypercall' });
  const properties = PROPERTIES.map((p) => p.name);
  const search = (bound: Record<string, number>): ReturnType<typeof searchHere> =>
    searchHere({ subject, profile: profileNamed('intel'), properties, bound, places: {} });
  assert.equal(search({ nmi: 1 }).verdict, 'holds');
  // A machine check there is one too many: it raises a softirq behind the last look.
  const { verdict, failures } = search({ mc: 1 });
  assert.equal(verdict, 'fails');
  assert.deepEqual([...new Set(failures.map((f) => f.property))], ['sleep']);
});
