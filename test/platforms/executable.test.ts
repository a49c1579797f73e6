/** Whole executables as images: what is where, which functions stand-ins take the place of, which pages there are. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { Reg } from '../../src/cpu/registers.js';
import { searchHere } from '../../src/explore/threads.js';
import { machineFor, tssOf } from '../../src/platforms/boot.js';
import { LINUX } from '../../src/platforms/linux.js';
import { type BuildOptions, loadSubject, type Subject } from '../../src/platforms/subject.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { PROPERTIES } from '../../src/properties/index.js';
import { kernelSource, makeExecutable } from '../support/executable.js';
import { asm } from '../support/search.js';

const assembler = await Assembler.create();
const plain = makeExecutable(kernelSource());

function load(file: string, more: Partial<BuildOptions> = {}): Promise<Subject> {
  return loadSubject(assembler, { files: [file], platform: LINUX, context: 'kernel', ...more });
}

function verdict(subject: Subject): { readonly verdict: string; readonly failed: readonly string[] } {
  const result = searchHere({
    subject,
    profile: profileNamed('intel'),
    properties: PROPERTIES.map((p) => p.name),
    bound: { nmi: 1 },
    places: {},
  });
  return { verdict: result.verdict, failed: [...new Set(result.failures.map((f) => f.property))] };
}

test('sections stay where they are; the context lies beside them, per-CPU data of other modules behind the executable’s', async () => {
  const { image } = await load(plain);
  assert.equal(image.find('exc_nmi.replaced')?.address, 0xffffffff81000000n);
  assert.equal(image.find('asm_exc_nmi')?.address, 0xffffffff81001000n);
  assert.equal(image.find('context_start')?.address, 0xffffffffc0000000n);
  const own = image.sections.find((s) => s.fixed && s.segment === 'percpu')!;
  assert.equal(own.address, 0n);
  assert.equal(own.loadAddress, LINUX.layout.percpu);
  for (const other of image.sections.filter((s) => !s.fixed && s.segment === 'percpu')) {
    assert.ok(other.address >= BigInt(own.size), other.name);
  }
});

test('code without a line map: labels, instructions and their texts come from the bytes', async () => {
  const { image } = await load(plain);
  const start = 0xffffffff81001000n;
  assert.equal(image.name(start), 'asm_exc_nmi+0');
  assert.equal(image.name(start + 1n), 'asm_exc_nmi+1');
  assert.equal(image.resolve('asm_exc_nmi+2'), start + 6n);
  assert.equal(image.locate(start + 1n)?.line?.text, 'call exc_nmi.replaced');
  assert.equal(image.locate(start)?.line?.text, 'push %rdi');
  assert.equal(image.resolve('asm_exc_nmi+9999'), undefined);
});

test('a C function that entry code calls gets a stand-in, at a jump in its place; a helper of entry code does not', async () => {
  const source = kernelSource({ handler: 'push %rdi\n call sync_regs\n call exc_nmi\n pop %rdi\n iretq' });
  const { image, standIns } = await load(makeExecutable(source));
  assert.ok(!standIns.includes('sync_regs'));
  const old = image.find('exc_nmi.replaced')!.address;
  const section = image.sectionAt(old)!;
  const offset = Number(old - section.address);
  assert.equal(section.data[offset], 0xe9);
  const field = new DataView(section.data.buffer, section.data.byteOffset + offset).getInt32(1, true);
  assert.equal(old + 5n + BigInt(field), image.find('exc_nmi')!.address);
  assert.notEqual(image.find('exc_nmi')!.module, section.module);
});

test('--through runs the function itself; --stub gives it another body, or the usual one', async () => {
  const through = await load(plain, { through: ['exc_nmi'] });
  assert.equal(through.image.find('exc_nmi')!.address, 0xffffffff81000000n);
  assert.equal(through.image.find('exc_nmi.replaced'), undefined);
  const file = join(dirname(plain), 'body.S');
  writeFileSync(file, '\t.globl exc_nmi\nexc_nmi:\n\tnop\n\tret\nexc_nmi_end:\n');
  const stubbed = await load(plain, { stubs: [{ name: 'exc_nmi', file }] });
  assert.equal(stubbed.image.find('exc_nmi')!.module, file);
  assert.ok(!stubbed.standIns.includes('exc_nmi'));
  const usual = await load(plain, { stubs: [{ name: 'sync_regs', file: undefined }] });
  assert.ok(usual.standIns.includes('sync_regs') || usual.image.find('sync_regs.replaced') !== undefined);
});

test('what cannot be done is said in one line', async () => {
  const wrong: readonly (readonly [Promise<Subject>, RegExp])[] = [
    [load(plain, { through: ['nothing'] }), /^--through nothing: there is no function nothing in /],
    [
      load(plain, { stubs: [{ name: 'nothing', file: undefined }] }),
      /^--stub nothing: the image neither has nor calls/,
    ],
    [
      loadSubject(assembler, { files: [plain, makeExecutable(kernelSource())], platform: LINUX, context: 'kernel' }),
      /is an executable, and so is/,
    ],
    [
      load(makeExecutable(kernelSource().replaceAll('__entry_text_end', 'other_end'))),
      /__entry_text_start and __entry_text_end do not say where the entry code lies/,
    ],
    [load(asm('linux_nmi.S'), { features: ['pti'] }), /^features 'pti': nothing in .* depends on them/],
  ];
  for (const [subject, message] of wrong) await assert.rejects(subject, { name: 'InputError', message });
});

test('the machine has the sections with the rights of their kind, TSS and per-CPU variables in the kernel’s own', async () => {
  const subject = await load(plain);
  const machine = machineFor(subject, profileNamed('intel'));
  const { memory } = machine;
  const rights = (name: string): number => {
    const { address } = subject.image.find(name)!;
    memory.translate(Number(address >> 32n) | 0, Number(address & 0xffffffffn) | 0);
    return memory.perms & 7;
  };
  assert.equal(rights('asm_exc_nmi'), 2);
  assert.equal(rights('constant'), 0);
  assert.equal(rights('variable'), 1);
  assert.equal(rights('blank'), 1);
  assert.equal(memory.peek64(subject.image.find('constant')!.address), 0x1122334455667788n);
  assert.equal(memory.peek64(subject.image.find('variable')!.address), 0x99n);
  assert.equal(memory.peek64(subject.image.find('blank')!.address + 4096n), 0n);
  assert.equal(tssOf(subject, 0), LINUX.layout.percpu + subject.image.find('cpu_tss_rw')!.address);
  assert.equal(machine.cpu.regs.u64[Reg.TR_BASE], tssOf(subject, 0));
  // RSP0 is the entry stack's top, with page-table isolation or without.
  const entry = subject.platform.stacks.find((s) => s.name === 'entry')!;
  assert.equal(memory.peek64(tssOf(subject, 0) + 4n), entry.top);
});

test('a restored snapshot has what the pages that are filled on use had', async () => {
  const subject = await load(plain);
  const machine = machineFor(subject, profileNamed('intel'));
  const { memory } = machine;
  const variable = subject.image.find('variable')!.address;
  const blank = subject.image.find('blank')!.address;
  const before = machine.snapshot();
  memory.view.setBigUint64(memory.translateAddress(variable), 1n, true);
  memory.view.setBigUint64(memory.translateAddress(blank), 2n, true);
  const between = machine.snapshot();
  memory.view.setBigUint64(memory.translateAddress(blank), 3n, true);
  machine.restore(between);
  assert.equal(memory.peek64(variable), 1n);
  assert.equal(memory.peek64(blank), 2n);
  machine.restore(before);
  assert.equal(memory.peek64(variable), 0x99n);
  assert.equal(memory.peek64(blank), 0n);
});

test('a handler in an executable holds or fails by what it does', async () => {
  assert.deepEqual(verdict(await load(plain, { through: ['exc_nmi'] })).verdict, 'fails');
  const saving = ['rdi', 'rax', 'rcx', 'rdx', 'rsi', 'r8', 'r9', 'r10', 'r11'];
  const handler = [
    ...saving.map((r) => `push %${r}`),
    ...['cld', 'mov %rsp, %rdi', 'sub $8, %rsp', 'call exc_nmi', 'add $8, %rsp'],
    ...[...saving].reverse().map((r) => `pop %${r}`),
    'iretq',
  ];
  const sound = await load(makeExecutable(kernelSource({ handler: handler.join('\n') })), {
    stubs: [{ name: 'exc_nmi', file: undefined }],
  });
  assert.deepEqual(verdict(sound), { verdict: 'holds', failed: [] });
  const forgetful = handler.map((line) => (line === 'pop %r9' ? 'add $8, %rsp' : line));
  const broken = await load(makeExecutable(kernelSource({ handler: forgetful.join('\n') })), {
    stubs: [{ name: 'exc_nmi', file: undefined }],
  });
  assert.ok(verdict(broken).failed.includes('context'));
});
