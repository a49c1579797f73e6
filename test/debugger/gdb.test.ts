/** The real gdb: what it shows of a debugger, and what it makes of it. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import type { Debugger } from '../../src/debugger/debugger.js';
import { entrace } from '../cli/entrace.js';
import { opened, play, rfc } from '../support/debugger.js';
import { gdb, gdbMissing, RawClient, served, session } from '../support/gdb.js';
import { asm } from '../support/search.js';

const options = { skip: gdbMissing ?? false };
const handler = (): Promise<Debugger> => opened('linux_nmi.S');

/** Each of `parts` is there, in this order. */
function inOrder(text: string, ...parts: readonly (string | RegExp)[]): void {
  let rest = text;
  for (const part of parts) {
    const at = typeof part === 'string' ? rest.indexOf(part) : rest.search(part);
    assert.ok(at >= 0, `${part} is not where it must be in:\n${text}\n--- the rest:\n${rest}`);
    rest = rest.slice(at + (typeof part === 'string' ? part.length : 1));
  }
}

test('registers, by name, by group, with flags by name', options, async () => {
  const text = await session(
    await handler(),
    ['info registers', 'info registers system', 'p $eflags', 'p/x $gs_base', 'p $st0', 'p $state', 'p $branch'],
    true,
  );
  inOrder(
    text,
    /rax +0xa0a0a0a0a0a0a0a0/,
    /rdi +0x707070707070707/,
    /rsp +0xffffc90000012000/,
    /rip +0xffffffff81[0-9a-f]+ .*<context_start>/,
    /eflags +0x202 +\[ IF \]/,
    /cs +0x10 /,
    /gs_base +0xffff88807fc00000/,
  );
  inOrder(text, /cr3 +0x1a0a000/, /events +0x0 +\[ \]/, /cr0 +0x80050033 +\[ PE MP ET NE WP AM PG \]/, /efer +0xd01 /);
  inOrder(text, '$1 = [ IF ]', '$2 = 0xffff88807fc00000', '$3 = <unavailable>', '$4 = 0', '$5 = 0');
});

test('stepi and reverse-stepi, with source lines; the start is the start', options, async () => {
  const debug = await handler();
  const text = await session(
    debug,
    ['stepi', 'stepi', 'reverse-stepi', 'p $state', 'reverse-stepi', 'reverse-stepi'],
    true,
  );
  inOrder(
    text,
    /12\s+pushq\s+%rbx/,
    /13\s+pushq\s+%r12/,
    /14\s+std/,
    /13\s+pushq\s+%r12/,
    '$1 = 1',
    /12\s+pushq\s+%rbx/,
    'at the start: there is nothing before',
    /12\s+pushq\s+%rbx/,
  );
  assert.equal(debug.position.index, 0);
});

test('labels and lines: break, list, info line, disassemble, per-CPU variables', options, async () => {
  const text = await session(await rfc(), [
    ...['info line nested_nmi', 'list nested_nmi', 'info symbol nested_nmi', 'break linux_nmi_rfc.S:81'],
    ...['disassemble /s nested_nmi,+4', 'break nmi', 'x/gx &cpu_current_top_of_stack', 'list do_nmi'],
    'info symbol 0xffff88807fc00004',
  ]);
  inOrder(
    text,
    /Line 69 of ".*asm\/linux_nmi_rfc\.S" starts at address 0xffffffff81000022 <nested_nmi>/,
    /69\s+leaq\s+repeat_nmi\(%rip\), %rdx/,
    'nested_nmi in section .text',
    /Breakpoint 1 at 0xffffffff8100003e: file .*linux_nmi_rfc\.S, line 81\./,
    /<nested_nmi\+0>:\s+lea\s+0x134\(%rip\),%rdx\s+# 0x[0-9a-f]+ <repeat_nmi>/,
    /Breakpoint 2 at 0xffffffff81000000: file .*linux_nmi_rfc\.S, line 47\./,
    /0xffff88807fc00000 <cpu_current_top_of_stack>:\s+0xffffc90000012000/,
    'do_nmi:',
    'cpu_current_top_of_stack + 4 in section .data..percpu',
  );
});

test('breakpoints both ways; the end of a path, and its start', options, async () => {
  const debug = play(await handler(), 'nmi@context_start+2');
  const text = await session(debug, [
    ...['break first_nmi', 'break nmi if $rip == 0', 'continue', 'p $state', 'continue', 'p $state', 'continue'],
    ...['reverse-continue', 'p $state', 'reverse-continue', 'p $state'],
  ]);
  inOrder(
    text,
    /Breakpoint 1, first_nmi \(\) at .*linux_nmi\.S:\d+/,
    '$1 = ',
    'the path has ended: the context has come to its end',
    'No more reverse-execution history.',
    /\$2 = \d{2,3}/,
    'the path has ended',
    /Breakpoint 1, first_nmi \(\)/,
    '$3 = ',
    'No more reverse-execution history.',
    '$4 = 0',
  );
  const [, first, , again] = /\$1 = (\d+)[\s\S]*\$2 = (\d+)[\s\S]*\$3 = (\d+)/.exec(text)!;
  assert.equal(first, again);
  assert.deepEqual(debug.view().breakpoints, [], 'gdb takes them out');
});

test('a breakpoint at the end of the path does not hang gdb 13', options, async () => {
  const text = await session(await handler(), [
    'break context_end',
    'continue',
    'continue',
    'reverse-stepi',
    'p $state',
  ]);
  inOrder(text, 'Breakpoint 1, context_end ()', 'the path has ended', 'Program stopped.', /\d+\s+popq\s+%r15/, '$1 = ');
});

test('watchpoints on memory, both ways; on a register, which gdb steps for', options, async () => {
  const debug = play(await handler(), 'nmi@context_start+2');
  const text = await session(debug, [
    ...[
      'watch *(long *)0xfffffe0000006fd0',
      'continue',
      'p $state',
      'x/i $rip',
      'reverse-continue',
      'p $state',
      'delete',
    ],
    ...['rwatch *(long *)0xfffffe0000006fd0', 'continue', 'p $state', 'x/i $rip', 'delete'],
    ...['awatch *(long *)0xfffffe0000006fd0', 'reverse-continue', 'p $state', 'delete'],
    ...['watch $r8', 'reverse-continue', 'p $state'],
  ]);
  // RDX goes to T, below the frame, and is read back before the IRETQ.
  inOrder(
    text,
    /Hardware watchpoint 1: .*Old value = 0\s+New value = 144680345676153346/s,
    '$1 = 4',
    /Hardware watchpoint 1: .*Old value = 144680345676153346\s+New value = 0/s,
    '$2 = 3',
    /Hardware read watchpoint 2: .*Value = 144680345676153346/s,
    /\$3 = (\d+)/,
    /Hardware access \(read\/write\) watchpoint 3/,
    /\$4 = (\d+)/,
    /Watchpoint 4: \$r8/,
    '$5 = ',
  );
  assert.equal(debug.branchNumbered(0).length, debug.cursor.branch.length, 'no branch was made');
});

test('edits of registers and memory begin branches; what cannot be written says why', options, async () => {
  const debug = await handler();
  const text = await session(debug, [
    ...['stepi', 'set $rdi = 0x1234', 'p/x $rdi', 'p $branch', 'set *(long *)$rsp = 0x99', 'x/gx $rsp', 'stepi'],
    ...['set $branch = 7', 'set $st0 = 1', 'set *(char *)nmi = 1', 'x/gx 0', 'branches'],
  ]);
  inOrder(text, '$1 = 0x1234', '$2 = 1', /0xffffc90000011ff8:\s+0x0000000000000099/);
  inOrder(text, "remote failure reply 'E.branch is where the debugger stands; move it with monitor goto'");
  inOrder(text, "remote failure reply 'E.the machine has no st0'");
  inOrder(text, 'Cannot access memory at address 0xffffffff81', 'Cannot access memory at address 0x0');
  assert.equal(debug.readRegister('rdi'), 0x1234n);
  assert.match(text, /edit rdi = 0x1234/);
});

test('monitor commands: gdb is told where they have moved the debugger', options, async () => {
  const text = await session(await handler(), [
    ...['stepi', 'nmi', 'p $rip', 'p $events', 'latch', 'stacks nmi', 'monitor events', 'branches', 'mc', 'bt 1'],
    ...['monitor goto start', 'monitor nonsense', 'p $state', 'fire nosuchevent', 'monitor until failure'],
  ]);
  inOrder(
    text,
    /#2 +NMI 1 +nmi\+0/,
    'Program stopped.',
    /nmi \(\) at .*linux_nmi\.S:57/,
    /<nmi>/,
    'NMI_BLOCKED',
    /blocked/,
    /top-40/,
    /machine_check \(\)/,
    /#0 +machine_check \(\)/,
    /context_start \(\)/,
    "there is no command 'nonsense'",
    '$3 = 0',
    'nosuchevent',
  );
});

test('without the command file a move is hinted at, and signal SIGINFO shows it', options, async () => {
  const text = await session(
    await handler(),
    ['monitor nmi', 'p $rip', 'signal SIGINFO', 'p $rip', 'p $state', 'monitor latch', 'monitor help'],
    true,
  );
  inOrder(
    text,
    '(gdb has not noticed: signal SIGINFO shows it this state)',
    /\$1 = .*<context_start>/,
    'Program stopped.',
    /\$2 = .*<nmi>/,
    '$3 = 1',
    'set breakpoint always-inserted on',
  );
  assert.equal(text.split('gdb has not noticed').length, 2, 'only after a move');
});

test('monitor commands stop at the breakpoints of gdb', options, async () => {
  const text = await session(await handler(), [
    'nmi',
    'break first_nmi',
    'monitor continue',
    'p $rip',
    'monitor breakpoints',
  ]);
  inOrder(text, /breakpoint \d+: at first_nmi\+0/, 'Program stopped.', /\$1 = .*<first_nmi>/, /break first_nmi\+0/);
});

test('an event that the branch fires is said before it is stepped into', options, async () => {
  const text = await session(play(await handler(), 'nmi@context_start+2'), [
    'stepi',
    'stepi',
    'stepi',
    'reverse-stepi',
  ]);
  inOrder(
    text,
    /13\s+pushq/,
    '-- the branch fires nmi here --',
    /14\s+std/,
    /nmi \(\) at/,
    '-- the branch fires nmi here --',
  );
});

test('several processors are threads; the one that runs is the current one', options, async () => {
  const debug = await opened(['linux_nmi_3_7.S', 'bad_iret.S'], {
    context: join(asm('.'), '..', 'scenarios', 'linux-nmi', 'ldtss-removed.S'),
  });
  const text = await session(debug, [
    ...[
      'info threads',
      'stepi',
      'thread 2',
      'p $rip',
      'stepi',
      'p $_thread',
      'fire switch',
      'p $_thread',
      'info threads',
    ],
    ...[
      'thread 1',
      'p $rip',
      'reverse-stepi',
      'p $_thread',
      'break context_start_1',
      'reverse-stepi',
      'continue',
      'p $_thread',
    ],
    // CPU 1 is parked at the breakpoint that it has just met.
    ...['fire switch', 'stepi', 'p $_thread', 'continue', 'p $_thread'],
  ]);
  inOrder(
    text,
    /\* 1 +Thread 1 "CPU 0" \(runs\) +context_start \(\)/,
    /2 +Thread 2 "CPU 1" \(parked\) +context_start_1 \(\)/,
    /\$1 = .*<context_start_1>/,
    'CPU 1 is parked: nothing was executed',
    '$2 = 1',
    'Thread 2 "CPU 1" stopped.',
    '$3 = 2',
    /1 +Thread 1 "CPU 0" \(parked\)/,
    /\* 2 +Thread 2 "CPU 1" \(runs\)/,
    /\$4 = .*<context_start\+1>/,
  );
  inOrder(
    text,
    'Breakpoint 1 at',
    'Thread 2 "CPU 1" hit Breakpoint 1',
    'Thread 1 "CPU 0" stopped.',
    /23\s+movl\s+%eax, %ss/,
  );
  assert.doesNotMatch(text, /internal-error/);
});

test("the RFC's counterexample: who changed RDI, and the same path without the second NMI", options, async () => {
  const debug = await rfc();
  debug.go(175);
  const text = await session(debug, [
    ...['p $state', 'who rdi', 'monitor goto who', 'p $state', 'info line *$rip'],
    ...['break *0xffffffff8100014b', 'reverse-continue', 'p $state', 'monitor skip', 'delete', 'continue', 'p/x $rdi'],
  ]);
  inOrder(
    text,
    '$1 = 175',
    /nested_nmi\+6 in NMI 2 changed rdi from 0x707070707070707/,
    /nested_nmi \(\) at .*linux_nmi_rfc\.S:81/,
    /81\s+leaq\s+-48\(%rsp\), %rdi/,
    '$2 = 91',
    /Line 81 of/,
    /nmi_restore \(\) at .*linux_nmi_rfc\.S:174/,
    '$3 = ',
    'the path has ended: the context has come to its end',
  );
  const { failed, ended } = debug.view().branches.find(({ current }) => current)!;
  assert.deepEqual([failed, ended], [[], 'the context has come to its end']);
});

test('a second gdb is told why it is refused', options, async () => {
  await served(await handler(), async ({ port }) => {
    const first = await RawClient.connect(port);
    assert.ok(await first.ask('qSupported'));
    const text = await gdb([], [`target remote 127.0.0.1:${port}`]);
    assert.match(text, /Remote failure reply: E\.another gdb is connected: entrace serves one at a time/);
    assert.equal(await first.ask('qC'), 'QC1');
    await first.leave();
  });
});

test('the command: what it prints is what one types; Ctrl-C ends it and removes its files', options, async () => {
  let shown = '';
  let seen = '';
  const started = (child: ChildProcess): void => {
    child.stdout!.on('data', async (text: string) => {
      shown += text;
      const [, commands] = /^ +gdb -x (\S+)$/m.exec(shown) ?? [];
      if (!shown.endsWith('Ctrl-C ends the server\n')) return;
      seen = await gdb(['-x', commands!], ['who rdi']);
      child.kill('SIGINT');
    });
  };
  const { status, stderr } = await entrace(['gdb', asm('linux_nmi_rfc.S')], { started });
  assert.deepEqual([status, stderr], [0, '']);
  inOrder(shown, 'linux_nmi_rfc.S in context kernel: at the start', "gdb -ex 'target remote 127.0.0.1:");
  inOrder(seen, /pushq\s+%rbx/, /linux_nmi_rfc.S in context kernel/);
  assert.equal(existsSync(dirname(/gdb -x (\S+)/.exec(shown)![1]!)), false);
});
