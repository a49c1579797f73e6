/** The Debug Adapter Protocol, spoken with the real command. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { asm, directory, file } from '../cli/entrace.js';
import { DapClient, Refused } from './dap_client.js';

const RFC = asm('linux_nmi_rfc.S');
const HOLDS = asm('linux_nmi.S');

/** The RFC's counterexample: the second NMI comes when RDI has its value back, and nested_nmi clobbers it. */
function counterexample(): string {
  const lines = [
    'title: The RFC',
    `image: ${RFC}`,
    'schedule: [nmi@context_start, bp@do_nmi, nmi@nmi_restore+15]',
    'properties: [context]',
    'expect: { fails: context, boundaries: [nmi@nmi_restore+15] }',
  ];
  return join(directory, file('rfc.yaml', `${lines.join('\n')}\n`));
}

/** The line of a source file that a text stands in, from 1. */
function lineOf(path: string, text: string): number {
  return 1 + readFileSync(path, 'utf8').split('\n').indexOf(text);
}

function lastLineOf(path: string, text: string): number {
  return 1 + readFileSync(path, 'utf8').split('\n').lastIndexOf(text);
}

const top = async (client: DapClient): Promise<string> => (await client.frames())[0]!.name;

test('the RFC: from the failure to who changed RDI, to the second NMI, and on without it', async (t) => {
  const client = new DapClient(t);
  const stop = await client.launch({ program: counterexample() });
  assert.equal(stop.reason, 'exception');
  assert.equal(stop.text, 'context is broken: rdi is not what it was');
  const info = await client.request<DebugProtocol.ExceptionInfoResponse['body']>('exceptionInfo', { threadId: 1 });
  assert.equal(info.exceptionId, 'context');
  assert.equal(info.details?.message, 'rdi is not what it was');
  assert.match(info.details?.stackTrace ?? '', /cause: changed rdi, by NMI 2 at nested_nmi\+6, .*linux_nmi_rfc\.S:81$/);

  assert.match(await client.type('who rdi'), /nested_nmi\+6 in NMI 2 changed rdi/);
  await client.type('goto who');
  assert.equal((await client.stopped()).reason, 'goto');
  const [running, interrupted, outermost, ...more] = await client.frames();
  assert.deepEqual(
    [running, interrupted, outermost, ...more].map((frame) => frame?.name),
    ['nested_nmi+6 (NMI 2)', 'nmi_restore+15 (NMI 1)', 'context_start+0 (context)'],
  );
  assert.equal(running!.source?.path, RFC);
  assert.equal(running!.line, lineOf(RFC, '\tleaq\t-48(%rsp), %rdi'));

  // Back to the second NMI.
  const breakpoints = [{ instructionReference: interrupted!.instructionPointerReference }];
  await client.request('setInstructionBreakpoints', { breakpoints });
  const back = await client.run('reverseContinue');
  assert.equal(back.reason, 'instruction breakpoint');
  assert.equal(await top(client), 'nmi_restore+15 (NMI 1)');
  await client.request('setInstructionBreakpoints', { breakpoints: [] });
  assert.equal((await client.run('skip', {})).reason, 'step');
  assert.equal(await top(client), 'nmi_restore+16 (NMI 1)');
  const end = await client.run('continue');
  assert.equal(end.text, 'the path has ended: the context has come to its end');
  assert.equal(await client.type('failures'), 'nothing is broken on this branch');
  await assert.rejects(
    client.request('exceptionInfo', { threadId: 1 }),
    new Refused('no property is broken up to here'),
  );
  assert.equal(await client.end(), 0);
});

test('events are fired by hand; stack, scopes and variables show what they do', async (t) => {
  const client = new DapClient(t);
  assert.equal((await client.launch({ program: HOLDS })).reason, 'entry');
  assert.deepEqual(await client.request('threads'), { threads: [{ id: 1, name: 'CPU 0' }] });
  assert.equal(await top(client), 'context_start+0 (context)');
  await client.run('nmi', {});
  assert.equal(await top(client), 'nmi+0 (NMI 1)');
  const [{ id: running }, { id: context }] = (await client.frames()) as [
    DebugProtocol.StackFrame,
    DebugProtocol.StackFrame,
  ];
  const values = async (scope: string): Promise<Map<string, DebugProtocol.Variable>> =>
    new Map((await client.variables(await client.scope(scope, running))).map((v) => [v.name, v]));
  assert.equal((await values('Event state')).get('NMI latch')?.value, 'blocked  (changed)');
  const registers = await values('Registers');
  assert.match(registers.get('rsp')!.value, /^0x[0-9a-f]+ {2}NMI stack top-40 {2}\(was 0xffffc90000012000\)$/);
  assert.match(registers.get('rip')!.value, /nmi\+0/);
  assert.equal((await values('Flags')).get('IF')?.value, '0  (changed)');
  assert.match((await values('Events that may fire here')).get('nmi')!.value, /^yes: NMIs are blocked: it is latched/);
  assert.match((await values('MSRs')).get('lstar')!.value, /entry_SYSCALL_64/);
  const stack = (await values('Stacks')).get('NMI')!;
  assert.equal(stack.value, 'RSP, 5 words, frames: NMI 1');
  const words = await client.variables(stack.variablesReference);
  assert.deepEqual(
    words.map(({ name }) => name.replace(/^(\S+) .*?(\S+(?: <RSP>)?)$/, '$1 $2')),
    ['top-8 SS', 'top-16 RSP', 'top-24 RFLAGS', 'top-32 CS', 'top-40 RIP <RSP>'],
  );
  assert.match(words[4]!.value, /context_start\+0 — NMI 1 at context_start\+0, by its delivery {2}\(changed\)$/);
  // Of what is interrupted there is what its frame keeps.
  const { scopes } = await client.request<{ scopes: DebugProtocol.Scope[] }>('scopes', { frameId: context });
  assert.match(scopes[0]!.name, /^Frame that NMI 1 pushed, NMI stack 0x/);
  assert.deepEqual(await client.variables(scopes[0]!.variablesReference), words);
  // A second one is latched.
  await client.type('nmi');
  await client.stopped();
  assert.equal((await values('Event state')).get('NMI latch')?.value, 'blocked, one pending  (changed)');
  await assert.rejects(client.request('nmi'), /^Error: nmi cannot be fired here: an NMI is pending already/);
  await assert.rejects(client.request('fire', { event: 'nim' }), /nim/);
  await client.request('fire', { event: 'mc' });
  await client.stopped();
  assert.match(await top(client), /\(#MC 1\)$/);
  // What was shown before is out of date.
  await assert.rejects(
    client.variables(stack.variablesReference),
    new Refused('these variables are of an earlier stop'),
  );
});

test('steps: in, over, out, and back', async (t) => {
  const client = new DapClient(t);
  await client.launch({ program: HOLDS });
  await client.run('nmi', {});
  const names: string[] = [];
  for (let i = 0; i < 3; i++) {
    assert.equal((await client.run('stepIn')).reason, 'step');
    names.push(await top(client));
  }
  assert.equal(new Set(names).size, 3);
  for (const name of names.slice(0, 2).reverse()) {
    assert.equal((await client.run('stepBack')).reason, 'step');
    assert.equal(await top(client), name);
  }
  assert.equal((await client.run('stepOut')).reason, 'goto');
  assert.equal(await top(client), 'context_start+0 (context)');
  const start = await client.run('reverseContinue');
  assert.equal(start.text, 'at the start: there is nothing before');
  // Over the handler that the branch enters here.
  await client.run('next');
  assert.equal(await top(client), 'context_start+0 (context)');
});

test('breakpoints on lines, labels and instructions, with conditions and hits', async (t) => {
  const client = new DapClient(t);
  const source = { path: HOLDS };
  const iretq = lastLineOf(HOLDS, '\tiretq');
  let set: { breakpoints: DebugProtocol.Breakpoint[] } | undefined;
  await client.launch({ program: HOLDS }, async () => {
    set = await client.request('setBreakpoints', {
      source,
      breakpoints: [
        { line: iretq, condition: 'depth == 2' },
        { line: 1 },
        { line: 100_000 },
        { line: iretq, condition: 'depth ==' },
        { line: iretq, hitCondition: 'often' },
      ],
    });
  });
  const [conditional, moved, none, badCondition, badHit] = set!.breakpoints as [
    DebugProtocol.Breakpoint,
    DebugProtocol.Breakpoint,
    DebugProtocol.Breakpoint,
    DebugProtocol.Breakpoint,
    DebugProtocol.Breakpoint,
  ];
  assert.deepEqual([conditional.verified, conditional.line], [true, iretq]);
  assert.ok(moved.verified && moved.line! > 1 && moved.line! < iretq, 'goes to the next line with code');
  assert.deepEqual([none.verified, none.message], [false, 'there is no code at this line or behind it']);
  assert.equal(badCondition.verified, false);
  assert.match(badCondition.message!, /depth ==/);
  assert.equal(badHit.message, "hit count 'often': expected a number n, for the n-th hit only");
  const elsewhere = await client.request<typeof set>('setBreakpoints', {
    source: { path: '/no.S' },
    breakpoints: [{ line: 1 }],
  });
  assert.equal(elsewhere!.breakpoints[0]!.message, '/no.S: no code of the image is from this file');

  const functions = await client.request<{ breakpoints: DebugProtocol.Breakpoint[] }>('setFunctionBreakpoints', {
    breakpoints: [{ name: 'do_nmi' }, { name: 'do_nmx' }],
  });
  assert.deepEqual(
    functions.breakpoints.map(({ verified }) => verified),
    [true, false],
  );
  await client.run('nmi', {});
  const stop = await client.run('continue');
  assert.deepEqual([stop.reason, stop.hitBreakpointIds], ['function breakpoint', [functions.breakpoints[0]!.id]]);
  assert.equal(await top(client), 'do_nmi+0 (NMI 1)');
  // The IRETQ is the outermost handler's.
  assert.equal((await client.run('continue')).text, 'the path has ended: the context has come to its end');
  const again = await client.request<{ breakpoints: DebugProtocol.Breakpoint[] }>('setBreakpoints', {
    source,
    breakpoints: [{ line: iretq, condition: 'depth == 1' }, { line: 1 }],
  });
  assert.deepEqual(
    again.breakpoints.map(({ id }) => id === moved.id),
    [false, true],
  );
  const found = await client.run('reverseContinue');
  assert.deepEqual([found.reason, found.hitBreakpointIds], ['breakpoint', [again.breakpoints[0]!.id]]);
  assert.equal((await client.frames())[0]!.line, iretq);
  await client.request('setFunctionBreakpoints', { breakpoints: [] });
  assert.equal((await client.type('breakpoints')).split('\n').length, 2);
  await client.request('setBreakpoints', { source, breakpoints: [] });
  assert.match(await client.type('breakpoints'), /none|no breakpoints/);
});

test('data breakpoints: a register, a word of a stack, an address, an expression', async (t) => {
  const client = new DapClient(t);
  await client.launch({ program: HOLDS });
  await client.run('nmi', {});
  const [frame] = await client.frames();
  const info = async (args: object): Promise<DebugProtocol.DataBreakpointInfoResponse['body']> =>
    client.request('dataBreakpointInfo', args);
  const stops = async (dataId: string | null, accessType = 'write'): Promise<DebugProtocol.StoppedEvent['body']> => {
    const { breakpoints } = await client.request<{ breakpoints: DebugProtocol.Breakpoint[] }>('setDataBreakpoints', {
      breakpoints: [{ dataId, accessType }],
    });
    assert.deepEqual([breakpoints[0]!.verified, breakpoints[0]!.message], [true, undefined]);
    const stop = await client.run('continue');
    assert.equal(stop.reason, 'data breakpoint', stop.text);
    assert.deepEqual(stop.hitBreakpointIds, [breakpoints[0]!.id]);
    return stop;
  };
  const rdx = await info({ variablesReference: await client.scope('Registers', frame!.id), name: 'rdx' });
  assert.equal(rdx.description, 'the value of rdx');
  assert.match((await stops(rdx.dataId)).text!, /rdx changes from 0x202020202020202 to/);
  const latch = await info({ name: 'latch' });
  assert.match((await stops(latch.dataId)).text!, /latch changes from 0x1 to 0x0/);
  await client.request('setDataBreakpoints', { breakpoints: [] });
  await client.type('goto 5');
  await client.stopped();
  const stacks = await client.variables(await client.scope('Stacks', (await client.frames())[0]!.id));
  const nmi = stacks.find(({ name }) => name === 'NMI')!.variablesReference;
  const [word] = await client.variables(nmi);
  const data = await info({ variablesReference: nmi, name: word!.name });
  assert.deepEqual(data.accessTypes, ['write', 'read', 'readWrite']);
  assert.match((await stops(data.dataId, 'readWrite')).text!, new RegExp(word!.memoryReference!));
  const flags = await info({
    variablesReference: await client.scope('Flags', (await client.frames())[0]!.id),
    name: 'IF',
  });
  assert.equal(flags.dataId, null);
  const bytes = await info({ name: word!.memoryReference, asAddress: true, bytes: 2 });
  assert.equal(bytes.description, `2 bytes at ${word!.memoryReference}`);
  const wrong = await client.request<{ breakpoints: DebugProtocol.Breakpoint[] }>('setDataBreakpoints', {
    breakpoints: [{ dataId: 'x' }, { dataId: '{"value":"rdx +"}' }, { dataId: rdx.dataId, hitCondition: '2' }],
  });
  assert.deepEqual(
    wrong.breakpoints.map(({ verified }) => verified),
    [false, false, false],
  );
});

test('edits begin a branch: a variable, memory, RIP', async (t) => {
  const client = new DapClient(t);
  await client.launch({ program: HOLDS });
  const registers = async (): Promise<number> => client.scope('Registers', (await client.frames())[0]!.id);
  const set = await client.request('setVariable', {
    variablesReference: await registers(),
    name: 'rdi',
    value: 'nmi + 8*2',
  });
  const nmi = BigInt(
    (await client.request<{ result: string }>('evaluate', { expression: 'nmi', context: 'watch' })).result,
  );
  assert.equal(set.value, `0x${(nmi + 16n).toString(16)}`);
  assert.deepEqual(await client.event('invalidated'), { areas: ['all'] });
  const rdi = (await client.variables(await registers())).find(({ name }) => name === 'rdi')!;
  assert.match(rdi.value, new RegExp(`^${set.value} .*\\(was 0x707070707070707\\)$`));
  await assert.rejects(
    client.request('setVariable', { variablesReference: await registers(), name: 'rdi', value: 'no_such' }),
    /no_such/,
  );
  await assert.rejects(
    client.request('setVariable', { variablesReference: await registers(), name: 'no_such', value: '1' }),
    /no_such: is shown only/,
  );

  const read = async (memoryReference: string, count: number): Promise<{ bytes: Buffer; unreadable: number }> => {
    const { data, unreadableBytes } = await client.request<{ data: string; unreadableBytes: number }>('readMemory', {
      memoryReference,
      count,
    });
    return { bytes: Buffer.from(data, 'base64'), unreadable: unreadableBytes };
  };
  await client.run('nmi', {});
  const rsp = (await client.variables(await registers())).find(({ name }) => name === 'rsp')!.memoryReference!;
  const before = await read(rsp, 40);
  assert.equal(before.bytes.length, 40);
  assert.equal(before.bytes.readBigUInt64LE(8), 0x10n, 'CS');
  const data = Buffer.from('0123456789').toString('base64');
  assert.equal((await client.request('writeMemory', { memoryReference: rsp, offset: 3, data })).bytesWritten, 10);
  const after = await read(rsp, 40);
  assert.equal(after.bytes.toString('latin1', 3, 13), '0123456789');
  assert.deepEqual(after.bytes.subarray(13), before.bytes.subarray(13));
  await client.run('stepBack');
  assert.deepEqual((await read(rsp, 40)).bytes, before.bytes);
  assert.deepEqual(await read('0x10', 5000), { bytes: Buffer.alloc(0), unreadable: 5000 });
  await assert.rejects(
    client.request('writeMemory', { memoryReference: '0x10', data }),
    /0x10: nothing is mapped there/,
  );
  await assert.rejects(client.request('writeMemory', { memoryReference: rsp, data: '***' }), /^Error: data: /);
  await assert.rejects(
    client.request('readMemory', { memoryReference: 'nowhere', count: 1 }),
    /nowhere: is no address/,
  );
  await assert.rejects(client.request('readMemory', { memoryReference: rsp, count: 1e9 }), /^Error: count: /);

  const line = lineOf(HOLDS, '\tiretq');
  const { targets } = await client.request<{ targets: DebugProtocol.GotoTarget[] }>('gotoTargets', {
    source: { path: HOLDS },
    line,
  });
  await client.run('goto', { threadId: 1, targetId: targets[0]!.id });
  const [frame] = await client.frames();
  assert.equal(frame!.name, `${targets[0]!.label} (NMI 1)`);
  assert.equal(frame!.line, line);
  await assert.rejects(
    client.request('goto', { threadId: 1, targetId: targets[0]!.id }),
    /there is none of this number/,
  );
});

test('disassembly: as many instructions as are asked for, where there is none too', async (t) => {
  const client = new DapClient(t);
  await client.launch({ program: HOLDS });
  const at = async (
    memoryReference: string,
    instructionOffset: number,
    instructionCount: number,
  ): Promise<DebugProtocol.DisassembledInstruction[]> =>
    (
      await client.request<{ instructions: DebugProtocol.DisassembledInstruction[] }>('disassemble', {
        memoryReference,
        instructionOffset,
        instructionCount,
        resolveSymbols: true,
      })
    ).instructions;
  const five = await at('first_nmi+2', 0, 5);
  const wide = await at('first_nmi+2', -3, 10);
  assert.deepEqual(wide.slice(3, 8), five);
  assert.equal(wide[1]!.symbol, 'first_nmi');
  assert.equal(five[0]!.location?.path, HOLDS);
  assert.deepEqual(await at('first_nmi+2', 3, 2), five.slice(3));
  const long = await at('nmi', -200, 400);
  assert.equal(long.length, 400);
  assert.equal(long[0]!.presentationHint, 'invalid');
  assert.equal(long[200]!.symbol, 'nmi');
  assert.equal(new Set(long.map(({ address }) => address)).size, 400);
  const nothing = await at('0x10', -2, 4);
  assert.equal(nothing.length, 4);
  await assert.rejects(at('nmi', 0, 1e6), /^Error: instructionCount: /);
});

test('the debug console takes the commands of the line mode; hovers are expressions', async (t) => {
  const client = new DapClient(t);
  await client.launch({ program: HOLDS });
  await assert.rejects(client.type('no such command'), /no such|unknown|there is no/);
  const hover = async (expression: string): Promise<string> =>
    (await client.request<{ result: string }>('evaluate', { expression, context: 'hover' })).result;
  assert.equal(await hover('%rsp'), '0xffffc90000012000  thread stack top');
  assert.equal(await hover('rdi + 1'), '0x707070707070708');
  await assert.rejects(hover('no_such'), /no_such/);
  const completed = async (text: string, column: number): Promise<string[]> => {
    const { targets } = await client.request<{ targets: DebugProtocol.CompletionItem[] }>('completions', {
      text,
      column,
    });
    return targets.map(
      ({ label, start, length }) => text.slice(0, start! - 1) + label + text.slice(start! - 1 + length!),
    );
  };
  assert.deepEqual(await completed('reverse-f', 10), ['reverse-finish']);
  assert.deepEqual(await completed('break first_n if rdi == 0', 14), ['break first_nmi if rdi == 0']);
  assert.deepEqual(await completed('print [kernel_gs', 17), ['print [kernel_gs_base']);
  // A branch that only gets a name: what is shown is out of date, and nothing has moved.
  await client.type('break nmi');
  assert.deepEqual(await client.event('invalidated'), { areas: ['all'] });
  assert.equal(client.events.length, 0);
  await client.type('quit');
  await client.event('terminated');
  assert.equal(await client.exit, 0);
});

test('several CPUs are threads', async (t) => {
  const client = new DapClient(t);
  await client.launch({ program: asm('kvm_inject.S'), context: asm('kvm/two_processors.S') });
  const { threads } = await client.request<{ threads: DebugProtocol.Thread[] }>('threads');
  assert.deepEqual(
    threads.map(({ name }) => name),
    ['CPU 0', 'CPU 1'],
  );
  assert.equal((await client.frames(1))[0]!.name, 'context_start+0 (CPU 0 context)');
  const [other] = await client.frames(2);
  assert.match(other!.name, /\+0 \(does not run now\)$/);
  const registers = async (frameId: number): Promise<number> => client.scope('Registers', frameId);
  await client.request('setVariable', { variablesReference: await registers(other!.id), name: 'rbx', value: '0x1234' });
  const value = async (thread: number): Promise<string> => {
    const [frame] = await client.frames(thread);
    return (await client.variables(await registers(frame!.id))).find(({ name }) => name === 'rbx')!.value;
  };
  assert.match(await value(2), /^0x1234\b/);
  assert.doesNotMatch(await value(1), /^0x1234\b/);
  const stop = await client.run('fire', { event: 'switch' });
  assert.equal(stop.threadId, 2);
  await assert.rejects(client.frames(3), new Refused('thread 3: there is none of this number'));
});

test('a scenario begins at its failure, and goes on without stopping if that is wanted', async (t) => {
  counterexample();
  const client = new DapClient(t);
  const stop = await client.launch({ program: 'rfc.yaml', cwd: directory });
  assert.equal(stop.reason, 'exception');
  const running = new DapClient(t);
  const end = await running.launch({ program: 'rfc.yaml', cwd: directory, stopOnEntry: false });
  assert.equal(end.text, 'the path has ended: the context has come to its end');
});

test('what the machine does not model stops the run, and says which line', async (t) => {
  const program = file('time.S', '.globl nmi\n.text\nnmi:\n\tpushq %rax\n\trdtsc\n\tpopq %rax\n\tiretq\n');
  const client = new DapClient(t);
  await client.launch({ program, cwd: directory });
  await client.run('nmi', {});
  for (let i = 0; i < 2; i++) {
    const stop = await client.run('continue');
    assert.equal(stop.reason, 'exception');
    assert.match(stop.text!, /time\.S:5.*rdtsc/);
    const info = await client.request<DebugProtocol.ExceptionInfoResponse['body']>('exceptionInfo', { threadId: 1 });
    assert.deepEqual([info.exceptionId, info.description], ['not modelled', stop.text]);
    assert.equal(await top(client), 'nmi+1 (NMI 1)');
  }
  await client.run('stepBack');
  assert.equal(await top(client), 'nmi+0 (NMI 1)');
});

test('without the filter, failures do not stop the run', async (t) => {
  const client = new DapClient(t);
  await client.launch({ program: counterexample() });
  await client.type('goto start');
  await client.stopped();
  assert.equal((await client.run('continue')).reason, 'exception');
  await client.type('goto start');
  await client.stopped();
  await client.request('setExceptionBreakpoints', { filters: [] });
  assert.equal((await client.run('continue')).text, 'the path has ended: the context has come to its end');
});

test('a run is paused, and a client that goes away in the middle of one leaves no process', async (t) => {
  file(
    'spin.S',
    '.globl context_start, context_end\n.text\ncontext_start:\n\tincq %rax\n\tjnz context_start\ncontext_end:\n\tjmp context_end\n',
  );
  const launch = { program: HOLDS, context: './spin.S', cwd: directory };
  const client = new DapClient(t);
  await client.launch(launch);
  await client.request('continue', { threadId: 1 });
  await client.request('pause', { threadId: 1 });
  const stop = await client.stopped();
  assert.deepEqual([stop.reason, stop.text], ['pause', 'interrupted']);
  // Before it has begun.
  const begun = client.request('continue', { threadId: 1 });
  await client.request('pause', { threadId: 1 });
  await begun;
  assert.equal((await client.stopped()).text, 'interrupted');
  // A command can be cancelled; the request behind it is not.
  const running = client.type('continue');
  const requestId = client.lastSeq;
  const behind = client.type('where');
  await client.request('cancel', { requestId });
  await running;
  assert.match(await behind, /context_start/);
  assert.equal((await client.stopped()).text, 'interrupted');
  await client.request('continue', { threadId: 1 });
  client.child.stdin!.end();
  assert.equal(await client.exit, 0);
  const leaving = new DapClient(t);
  await leaving.launch(launch);
  await leaving.request('continue', { threadId: 1 });
  assert.equal(await leaving.end(), 0);
  const killed = new DapClient(t);
  await killed.launch(launch);
  await killed.request('continue', { threadId: 1 });
  killed.child.kill('SIGTERM');
  assert.equal(await killed.exit, 0);
});

test('what is wrong with the configuration is said in one answer, and can be corrected', async (t) => {
  file('wrong.S', '.globl nmi\nnmi:\n\tmovq %rax, %rbxx\n\tiretq\n');
  writeFileSync(join(directory, 'bad.json'), '{ "entrace": ');
  const client = new DapClient(t);
  await client.request('initialize');
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ program: 'missing.S' }, /missing\.S: no such file/],
    [{ program: ['missing.S', 'other.S'] }, /missing\.S: no such file/],
    [{ program: 'wrong.S' }, /wrong\.S:3:/],
    [{ program: 'bad.json' }, /bad\.json: is not JSON/],
    [{ program: [] }, /^Error: program: /],
    [{ program: HOLDS, context: 'no_such' }, /there is no context 'no_such'/],
    [{ program: HOLDS, platform: 'no_such' }, /no_such/],
    [{ program: HOLDS, profile: 'no_such' }, /no_such/],
    [{ program: HOLDS, knobs: { noSuch: true } }, /no knob 'noSuch'/],
    [{ program: HOLDS, defines: { '1x': 1 } }, /^Error: defines/],
    [{ program: HOLDS, stopOnEntry: 'yes' }, /^Error: stopOnEntry: /],
  ];
  for (const [args, message] of cases) {
    await assert.rejects(client.request('launch', { cwd: directory, ...args }), message);
  }
  await client.request('launch', { cwd: directory, program: HOLDS, defines: { A: 1, B: true }, knobs: {} });
  await client.event('initialized');
  await assert.rejects(client.request('launch', { program: HOLDS }), /something is launched already/);
  assert.equal(await client.end(), 0);
  assert.equal(client.stderr, '');
});

test('a client that counts from 0 gets and gives such lines and columns', async (t) => {
  const client = new DapClient(t);
  await client.request('initialize', { linesStartAt1: false, columnsStartAt1: false });
  await client.request('launch', { program: HOLDS });
  await client.event('initialized');
  const stop = await client.run('configurationDone', {});
  assert.equal(stop.reason, 'entry');
  const line = lastLineOf(HOLDS, '\tiretq') - 1;
  const { breakpoints } = await client.request<{ breakpoints: DebugProtocol.Breakpoint[] }>('setBreakpoints', {
    source: { path: HOLDS },
    breakpoints: [{ line }],
  });
  assert.equal(breakpoints[0]!.line, line);
  await client.run('nmi', {});
  await client.run('continue');
  assert.equal((await client.frames())[0]!.line, line);
  const { targets } = await client.request<{ targets: DebugProtocol.CompletionItem[] }>('completions', {
    text: 'reverse-f',
    column: 9,
  });
  assert.deepEqual(targets, [{ label: 'reverse-finish', start: 0, length: 9 }]);
});
