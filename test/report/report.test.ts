/** The report that a person reads: exact texts. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { ASM_DIRECTORY } from '../../src/platforms/subject.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { causeOf } from '../../src/report/cause.js';
import { count, plural, runs } from '../../src/report/names.js';
import { reportPath, traceOf } from '../../src/report/path.js';
import { nmiStack } from '../../src/report/stack.js';
import { describe, type Paint, paintFor, shortPath, summary, windows } from '../../src/report/text.js';
import type { Trace } from '../../src/report/trace.js';
import { explore, plainHandler, runOf, subjectOf } from '../support/search.js';

const plain: Paint = (_, text) => text;
const intel = profileNamed('intel');

/** Paths as they are from the project's directory, wherever the test runs. */
const fromRoot = (text: string): string => text.replaceAll(`${ASM_DIRECTORY}/`, 'asm/');

const rfc = subjectOf('linux_nmi_rfc.S');
const at = (boundary: string, event: string) => ({ boundary, hit: 1, event, address: rfc.image.resolve(boundary)! });
const PATH = [at('context_start+0', 'nmi'), at('do_nmi+0', 'bp'), at('nmi_restore+15', 'nmi')];

function brokenIn(trace: Trace, property: string): Trace['broken'][number] {
  const broken = trace.broken.find((b) => b.property === property);
  assert.ok(broken, `${property} is not broken`);
  return broken;
}

test('linux_nmi_rfc.S: the context failure, in full', () => {
  assert.equal(fromRoot(reportPath(rfc, intel, 'context', PATH, plain)), CONTEXT_FAILURE);
});

test('the cause is the instruction of the nested NMI that lost rdi', () => {
  const trace = traceOf(rfc, intel, PATH);
  const cause = causeOf(trace, brokenIn(trace, 'context'))!;
  assert.equal(cause.step.owner, 'NMI 2');
  assert.equal(rfc.image.name(cause.step.address), 'nested_nmi+6');
  assert.match(cause.step.line!.text, /leaq\s+-48\(%rsp\), %rdi/);
  assert.equal(cause.what, 'changed rdi');
});

test('the cause of a lost NMI is the return that ended it without a body', () => {
  const explored = explore('linux_nmi_rfc.S', { context: 'user-rsp', events: 'nmi=1' });
  const failure = explored.result.failures.find((f) => f.property === 'nmi-ledger')!;
  const trace = runOf(explored, failure);
  const cause = causeOf(trace, brokenIn(trace, 'nmi-ledger'))!;
  assert.equal(cause.step.owner, 'NMI 1');
  assert.equal(cause.step.returned, true);
  assert.equal(explored.subject.image.name(cause.step.address), 'nested_nmi_out+1');
});

test('the cause of a changed pt_regs is the write into it by another event', () => {
  const path = [at('context_start+0', 'nmi'), at('do_nmi+0', 'bp'), at('do_nmi+1', 'nmi')];
  const trace = traceOf(rfc, intel, path);
  const cause = causeOf(trace, brokenIn(trace, 'handler-view'));
  assert.equal(cause?.step.owner, 'NMI 2');
});

test('every transition has an owner, by event and number', () => {
  const trace = traceOf(rfc, intel, PATH);
  const owners = trace.steps.map((s) => s.owner).filter((owner, i, all) => owner !== all[i - 1]);
  assert.deepEqual(owners, ['NMI 1', '#BP 1', 'NMI 1', 'NMI 2', 'NMI 1', 'context']);
  assert.equal(trace.steps[0]!.fired, 'nmi');
  assert.equal(describe(trace.steps[0]!), '-- nmi fired: NMI 1 --');
  assert.equal(describe(trace.steps[1]!), 'pushq %rdx');
});

test('an event that must wait is fired in one transition and delivered in another', () => {
  const path = [at('context_start+0', 'nmi'), at('nmi+0', 'nmi')];
  const trace = traceOf(rfc, intel, path);
  assert.equal(describe(trace.steps[1]!), '-- nmi fired: pending --');
  const delivered = trace.steps.findIndex((s) => s.delivered === 'NMI 2');
  assert.equal(trace.steps[delivered]!.fired, undefined);
  assert.equal(describe(trace.steps[delivered]!), '-- NMI 2 is delivered --');
  assert.equal(trace.steps[delivered - 1]!.returned, true);
});

test('the words of the NMI stack have the names of the handler that lays it out', () => {
  const slots = (file: string, boundary: string): string[] => {
    const subject = subjectOf(file);
    const trace = traceOf(subject, intel, [{ boundary: 'context_start+0', hit: 1, event: 'nmi' }]);
    const step = trace.steps.findIndex((s) => subject.image.name(s.address) === boundary);
    return [...new Set(nmiStack(trace, step).map((w) => w.slot))];
  };
  assert.deepEqual(slots('linux_nmi_rfc.S', 'do_nmi+0'), [
    'original frame',
    'rdx',
    'executing',
    'saved',
    'copied',
    'pt_regs',
  ]);
  assert.deepEqual(slots('linux_nmi.S', 'do_nmi+0'), [
    'original frame',
    'rdx',
    'executing',
    'copied (iret frame)',
    'saved (outermost)',
    'pt_regs',
  ]);
  assert.deepEqual(slots('linux_nmi_plain.S', 'do_nmi+0'), ['original frame', 'pt_regs']);
});

test('a word of the stack says who wrote it last', () => {
  const trace = traceOf(rfc, intel, PATH);
  const words = nmiStack(trace, brokenIn(trace, 'context').step);
  const word = (slot: string, name: string) => words.find((w) => w.slot === slot && w.word === name)!;
  assert.deepEqual(word('executing', 'executing').writer, {
    owner: 'NMI 1',
    boundary: 'nmi_restore+16',
    delivery: false,
  });
  assert.equal(word('executing', 'executing').value, 0n);
  assert.match(word('copied', 'RIP').text, /context_start\+0$/);
  assert.match(word('original frame', 'RIP').text, /nmi_restore\+15$/);
});

test('the summary names the verdict, the bound and the figures', () => {
  const { result } = explore('linux_nmi_rfc.S', { events: 'nmi=1' });
  const heading = {
    files: ['a.S', 'b.S'],
    platform: 'linux',
    profile: 'intel',
    context: 'kernel',
    bound: { nmi: 1, bp: 0 },
    places: [],
    properties: undefined,
  };
  const figures = { ...result, states: 12_345, transitions: 1, seconds: 0.25 };
  const lines = (more: object): string[] => summary(heading, { ...figures, ...more }, plain).split('\n');
  assert.deepEqual(lines({}), [
    'a.S b.S: holds',
    '  for every placement of nmi=1,bp=0, context kernel, platform linux, profile intel',
    '  12,345 states, 1 transition, 0.3 s, closed',
  ]);
  const open = lines({
    verdict: 'open',
    stopped: 'interrupted',
    covered: { closed: { nmi: 1 }, bound: { nmi: 2 }, first: 3, of: 14 },
  });
  assert.equal(open[0], 'a.S b.S: open');
  assert.match(open[2]!, /not closed$/);
  assert.deepEqual(open.slice(3), [
    '  stopped: interrupted',
    '  covered: everything up to nmi=1; of nmi=2, first events at 3 of 14 boundaries of the context',
  ]);
});

test('the windows of a property are one line for each kind of event', () => {
  const explored = explore('linux_nmi_rfc.S');
  const failures = explored.result.failures.filter((f) => f.property === 'handler-view');
  assert.equal(
    windows('handler-view', 'a sentence', failures, plain),
    `handler-view: a sentence
  is broken by nmi at 38 boundaries: restart_nmi+28..+29, nmi_restore+0..+16, irq_return+0, int3+0, do_nmi+0..+16
  is broken by bp at 17 boundaries: do_nmi+0..+16`,
  );
});

test('a failure without any event says so', () => {
  const explored = explore(plainHandler(), { events: 'nmi=0' });
  assert.equal(explored.result.verdict, 'holds');
  const failure = {
    property: 'progress',
    boundary: 'context_start+0',
    address: 0n,
    event: 'none',
    instructions: 0,
    path: [],
  };
  assert.equal(windows('progress', 'x', [failure as never], plain), 'progress: x\n  is broken without any event');
});

test('runs of boundaries are drawn together', () => {
  assert.equal(runs([]), '');
  assert.equal(runs(['a+0']), 'a+0');
  assert.equal(runs(['a+0', 'a+1', 'a+2', 'a+4', 'b+5', 'b+6']), 'a+0..+2, a+4, b+5..+6');
  assert.equal(runs(['a+1', 'b+2', '0x1000', 'a+3', 'a+4']), 'a+1, b+2, 0x1000, a+3..+4');
});

test('numbers and words', () => {
  assert.equal(count(1_234_567), '1,234,567');
  assert.equal(plural(1, 'boundary'), '1 boundary');
  assert.equal(plural(2, 'boundary'), '2 boundaries');
  assert.equal(plural(1000, 'state'), '1,000 states');
});

test('colours are for terminals, unless NO_COLOR is set', () => {
  const { NO_COLOR } = process.env;
  try {
    delete process.env.NO_COLOR;
    assert.equal(paintFor({ isTTY: false })('red', 'x'), 'x');
    assert.equal(paintFor({})('red', 'x'), 'x');
    assert.equal(paintFor({ isTTY: true })('red', 'x'), '\x1b[31mx\x1b[39m');
    process.env.NO_COLOR = '1';
    assert.equal(paintFor({ isTTY: true })('red', 'x'), 'x');
  } finally {
    if (NO_COLOR === undefined) delete process.env.NO_COLOR;
    else process.env.NO_COLOR = NO_COLOR;
  }
});

test('paths below the working directory are printed relative to it', () => {
  assert.equal(shortPath(`${process.cwd()}/a/b.S`), 'a/b.S');
  assert.equal(shortPath('/elsewhere/b.S'), '/elsewhere/b.S');
  assert.equal(shortPath('a/b.S'), 'a/b.S');
});

const CONTEXT_FAILURE = `  schedule
    1. nmi  at context_start+0 (asm/contexts/kernel.S:12)
    2. bp   at do_nmi+0 ((stand-ins):5)
    3. nmi  at nmi_restore+15 (asm/linux_nmi_rfc.S:174)
  fails at irq_return+0 in NMI 1 (asm/linux_nmi_rfc.S:179)
    rdi is not what it was
    register  expected            found
    rdi       0x707070707070707   0xfffffe0000006fa0
  caused by nested_nmi+6 in NMI 2 (asm/linux_nmi_rfc.S:81), which changed rdi
    leaq -48(%rsp), %rdi
  last instructions
    NMI 1    nmi_restore+6   movq 48(%rsp), %r11                   asm/linux_nmi_rfc.S:165
    NMI 1    nmi_restore+7   movq 56(%rsp), %r10                   asm/linux_nmi_rfc.S:166
    NMI 1    nmi_restore+8   movq 64(%rsp), %r9                    asm/linux_nmi_rfc.S:167
    NMI 1    nmi_restore+9   movq 72(%rsp), %r8                    asm/linux_nmi_rfc.S:168
    NMI 1    nmi_restore+10  movq 80(%rsp), %rax                   asm/linux_nmi_rfc.S:169
    NMI 1    nmi_restore+11  movq 88(%rsp), %rcx                   asm/linux_nmi_rfc.S:170
    NMI 1    nmi_restore+12  movq 96(%rsp), %rdx                   asm/linux_nmi_rfc.S:171
    NMI 1    nmi_restore+13  movq 104(%rsp), %rsi                  asm/linux_nmi_rfc.S:172
    NMI 1    nmi_restore+14  movq 112(%rsp), %rdi                  asm/linux_nmi_rfc.S:173
    NMI 1    nmi_restore+15  addq $128, %rsp                       asm/linux_nmi_rfc.S:174
    NMI 1    nmi_restore+16  movq $0, 80(%rsp)                     asm/linux_nmi_rfc.S:177
    NMI 1    irq_return+0    iretq                                 asm/linux_nmi_rfc.S:179
  NMI stack before irq_return+0
    top-8    original frame       SS        0x18                                           NMI 2 delivered at nmi_restore+15
    top-16                        RSP       0xfffffe0000006ef8 NMI stack top-264           NMI 2 delivered at nmi_restore+15
    top-24                        RFLAGS    0x2                                            NMI 2 delivered at nmi_restore+15
    top-32                        CS        0x10                                           NMI 2 delivered at nmi_restore+15
    top-40                        RIP       0xffffffff8100014b nmi_restore+15              NMI 2 delivered at nmi_restore+15
    top-48   rdx                  rdx       0x202020202020202                              NMI 2 nmi+0
    top-56   executing            executing 0x0                                            NMI 1 nmi_restore+16
    top-64   saved                SS        0x18                                           NMI 1 first_nmi+1
    top-72                        RSP       0xffffc90000012000 thread stack top            NMI 1 first_nmi+2
    top-80                        RFLAGS    0x202                                          NMI 1 first_nmi+3
    top-88                        CS        0x10                                           NMI 1 first_nmi+4
    top-96                        RIP       0xffffffff81000180 context_start+0             NMI 1 first_nmi+5
    top-104  copied               SS        0x18                                           NMI 1 repeat_nmi+1
    top-112                       RSP       0xffffc90000012000 thread stack top            NMI 1 repeat_nmi+2
    top-120                       RFLAGS    0x202                                          NMI 1 repeat_nmi+3
    top-128                       CS        0x10                                           NMI 1 repeat_nmi+4
    top-136                       RIP       0xffffffff81000180 context_start+0             NMI 1 repeat_nmi+5
    top-144  pt_regs              orig_rax  0xffffffffffffffff                             NMI 1 restart_nmi+0
    top-152                       rdi       0xfffffe0000006fa0 NMI stack top-96            NMI 1 restart_nmi+2
    top-160                       rsi       0x606060606060606                              NMI 1 restart_nmi+3
    top-168                       rdx       0x202020202020202                              NMI 1 restart_nmi+4
    top-176                       rcx       0x101010101010101                              NMI 1 restart_nmi+5
    top-184                       rax       0xa0a0a0a0a0a0a0a0                             NMI 1 restart_nmi+6
    top-192                       r8        0x808080808080808                              NMI 1 restart_nmi+7
    top-200                       r9        0x909090909090909                              NMI 1 restart_nmi+8
    top-208                       r10       0xa0a0a0a0a0a0a0a                              NMI 1 restart_nmi+9
    top-216                       r11       0xb0b0b0b0b0b0b0b                              NMI 1 restart_nmi+10
    top-224                       rbx       0x303030303030303                              NMI 1 restart_nmi+11
    top-232                       rbp       0x505050505050505                              NMI 1 restart_nmi+12
    top-240                       r12       0xc0c0c0c0c0c0c0c                              NMI 1 restart_nmi+13
    top-248                       r13       0xd0d0d0d0d0d0d0d                              NMI 1 restart_nmi+14
    top-256                       r14       0xe0e0e0e0e0e0e0e                              NMI 1 restart_nmi+15
    top-264                       r15       0xf0f0f0f0f0f0f0f                              NMI 1 restart_nmi+16`;
