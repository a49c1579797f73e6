import { Code, Register } from 'iced-x86';
import { Vector } from '../cpu/cpu.js';
import { registerNumber } from '../cpu/decoder.js';
import { Reg } from '../cpu/registers.js';
import { fredEnabled } from '../harness/fred.js';
import { hex } from './describe.js';
import { type Monitor, RecordWord, Word } from './monitor.js';
import type { Property } from './property.js';

/** The register that tells the handler of an exception what happened, and whether the last instruction read it. */
const TOLD: ReadonlyMap<number, { readonly register: Register; readonly name: string }> = new Map([
  [Vector.PF, { register: Register.CR2, name: 'CR2' }],
  [Vector.DB, { register: Register.DR6, name: 'DR6' }],
]);

/** The handler whose #PF or #DB is the innermost open delivery reads CR2 or DR6: it must find what its own fault put there. */
function misread(m: Monitor): boolean {
  const { instruction } = m.machine.happened;
  if (instruction === undefined || m.words[Word.DEPTH] === 0) return false;
  if (instruction.code !== Code.Mov_r64_cr && instruction.code !== Code.Mov_r64_dr) return false;
  const record = m.innermost;
  const told = TOLD.get(m.records[record + RecordWord.VECTOR]!);
  if (told === undefined || instruction.iced.op1Register !== told.register) return false;
  // A FRED frame tells what this #DB is for; DR6 is what all have left behind since it was last cleared.
  if (told.register === Register.DR6 && fredEnabled(m.machine)) return false;
  const to = registerNumber(instruction.iced.op0Register);
  const { u32 } = m.machine;
  return (
    u32[2 * to] !== m.records[record + RecordWord.FAULT_LOW] ||
    u32[2 * to + 1] !== m.records[record + RecordWord.FAULT_HIGH]
  );
}

/** The event data in the frame of a #PF or #DB that FRED has delivered is another one when its handler returns. */
function overwritten(m: Monitor, record: number): boolean {
  if (record < 0 || !fredEnabled(m.machine) || !TOLD.has(m.records[record + RecordWord.VECTOR]!)) return false;
  return !m.sameEventData(record);
}

/** A nested event that faults itself must put CR2 and DR6 back before the handler that it interrupted reads them. */
export const faultState: Property = {
  name: 'fault-state',
  sentence: 'the handler of a #PF or #DB reads the CR2 or DR6 of its own exception',
  ends: false,
  executedMicrocode: misread,
  returned: overwritten,
  explain: (m) => {
    if (m.closing >= 0) return 'the event data in the frame are not those of the exception when its handler returns';
    const record = m.innermost;
    const told = TOLD.get(m.records[record + RecordWord.VECTOR]!)!;
    const found = m.machine.cpu.regs.u64[told.name === 'CR2' ? Reg.CR2 : Reg.DR6]!;
    return `${told.name} is ${hex(found)} when the handler reads it, but its exception put ${hex(m.recorded(record + RecordWord.FAULT_LOW))} there`;
  },
};
