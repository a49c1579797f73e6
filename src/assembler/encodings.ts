/**
 * Instructions that Keystone does not know, or gets wrong: what operands they take, in AT&T order, and their encoding as the manuals
 * write it (hexadecimal bytes, mandatory prefix first; `w`: REX.W; `/r`: ModRM with a register in its reg field; `/0` to `/7`: ModRM with
 * that digit; `ib`: the immediate).
 *
 * Operands: `r16` `r32` `r64`: a register in ModRM.reg; `rm16` `rm32` `rm64`: a register in ModRM.rm; `mem`: memory in ModRM.rm; `ib`: an
 * immediate of 8 bits; `%eax|%rax`: one of these registers, which says nothing new; `[rax]`: RAX or EAX as an address, `[rm]` any register
 * as one in ModRM.rm (a 32-bit one takes the prefix 67); `[r]`: a register that holds an address, in ModRM.reg, as wide as those of `mem`.
 */
const TABLE = `
  # Intel SDM vol. 2, CET: ENDBR64 and the shadow stack instructions
  endbr64        :                        f3 0f 1e fa
  endbr32        :                        f3 0f 1e fb
  rdsspd         : rm32                   f3 0f 1e /1
  rdsspq         : rm64                   f3 w 0f 1e /1
  incsspd        : rm32                   f3 0f ae /5
  incsspq        : rm64                   f3 w 0f ae /5
  rstorssp       : mem                    f3 0f 01 /5
  saveprevssp    :                        f3 0f 01 ea
  setssbsy       :                        f3 0f 01 e8
  clrssbsy       : mem                    f3 0f ae /6
  wrssd          : r32, mem               0f 38 f6 /r
  wrssq          : r64, mem               w 0f 38 f6 /r
  wrussd         : r32, mem               66 0f 38 f5 /r
  wrussq         : r64, mem               66 w 0f 38 f5 /r

  # Intel, Flexible Return and Event Delivery (FRED) Specification: ERETS, ERETU; LKGS
  erets          :                        f2 0f 01 ca
  eretu          :                        f3 0f 01 ca
  lkgs           : rm16                   f2 0f 00 /6
  lkgs           : rm32                   f2 0f 00 /6
  lkgs           : rm64                   f2 0f 00 /6
  lkgs           : mem                    f2 0f 00 /6

  # Intel SDM vol. 2 and Architecture Instruction Set Extensions Programming Reference
  wrmsrns        :                        0f 01 c6
  rdmsrlist      :                        f2 0f 01 c6
  wrmsrlist      :                        f3 0f 01 c6
  serialize      :                        0f 01 e8
  xsusldtrk      :                        f2 0f 01 e8
  xresldtrk      :                        f2 0f 01 e9
  rdpid          : rm64                   f3 0f c7 /7
  clui           :                        f3 0f 01 ee
  stui           :                        f3 0f 01 ef
  testui         :                        f3 0f 01 ed
  uiret          :                        f3 0f 01 ec
  senduipi       : rm64                   f3 0f c7 /6
  hreset         : ib                     f3 0f 3a f0 c0 ib
  pconfig        :                        0f 01 c5
  enclv          :                        0f 01 c0
  cldemote       : mem                    0f 1c /0
  prefetchwt1    : mem                    0f 0d /2
  wbnoinvd       :                        f3 0f 09
  tpause         : rm32                   66 0f ae /6
  tpause         : rm32, %edx, %eax       66 0f ae /6
  umwait         : rm32                   f2 0f ae /6
  umwait         : rm32, %edx, %eax       f2 0f ae /6
  umonitor       : [rm]                   f3 0f ae /6
  ptwrite        : rm32                   f3 0f ae /4
  ptwrite        : rm64                   f3 w 0f ae /4
  ptwrite        : mem                    f3 0f ae /4
  ptwritel       : rm32                   f3 0f ae /4
  ptwritel       : mem                    f3 0f ae /4
  ptwriteq       : rm64                   f3 w 0f ae /4
  ptwriteq       : mem                    f3 w 0f ae /4
  movdiri        : r32, mem               0f 38 f9 /r
  movdiri        : r64, mem               w 0f 38 f9 /r
  movdiril       : r32, mem               0f 38 f9 /r
  movdiriq       : r64, mem               w 0f 38 f9 /r
  movdir64b      : mem, [r]               66 0f 38 f8 /r
  enqcmd         : mem, [r]               f2 0f 38 f8 /r
  enqcmds        : mem, [r]               f3 0f 38 f8 /r
  ud0            : rm16, r16              66 0f ff /r
  ud0            : mem, r16               66 0f ff /r
  ud0            : rm32, r32              0f ff /r
  ud0            : rm64, r64              w 0f ff /r
  ud0            : mem, r32               0f ff /r
  ud0            : mem, r64               w 0f ff /r
  ud1            : rm16, r16              66 0f b9 /r
  ud1            : rm32, r32              0f b9 /r
  ud1            : rm64, r64              w 0f b9 /r
  ud1            : mem, r16               66 0f b9 /r
  ud1            : mem, r32               0f b9 /r
  ud1            : mem, r64               w 0f b9 /r
  ud1l           : rm32, r32              0f b9 /r
  ud1l           : mem, r32               0f b9 /r
  ud1q           : rm64, r64              w 0f b9 /r
  ud1q           : mem, r64               w 0f b9 /r
  ud2b           : rm32, r32              0f b9 /r
  ud2b           : mem, r32               0f b9 /r
  monitor        :                        0f 01 c8
  monitor        : [rax], %ecx|%rcx, %edx|%rdx   0f 01 c8
  mwait          :                        0f 01 c9
  mwait          : %eax|%rax, %ecx|%rcx   0f 01 c9
  nopw           : rm16                   66 0f 1f /0
  nopw           : mem                    66 0f 1f /0
  nopl           : rm32                   0f 1f /0
  nopl           : mem                    0f 1f /0
  nopq           : rm64                   w 0f 1f /0
  nopq           : mem                    w 0f 1f /0

  # Intel TDX Module and SEAM: instructions
  tdcall         :                        66 0f 01 cc
  seamret        :                        66 0f 01 cd
  seamops        :                        66 0f 01 ce
  seamcall       :                        66 0f 01 cf

  # AMD64 Architecture Programmer's Manual vol. 3
  monitorx       :                        0f 01 fa
  monitorx       : [rax], %ecx|%rcx, %edx|%rdx   0f 01 fa
  mwaitx         :                        0f 01 fb
  mwaitx         : %eax|%rax, %ecx|%rcx, %ebx|%rbx   0f 01 fb
  clzero         :                        0f 01 fc
  clzero         : [rax]                  0f 01 fc
  rdpru          :                        0f 01 fd
  invlpgb        :                        0f 01 fe
  invlpgb        : [rax], %ecx, %edx      0f 01 fe
  tlbsync        :                        0f 01 ff
  invlpga        :                        0f 01 df
  invlpga        : [rax], %ecx|%rcx       0f 01 df
  vmrun          :                        0f 01 d8
  vmrun          : [rax]                  0f 01 d8
  vmload         :                        0f 01 da
  vmload         : [rax]                  0f 01 da
  vmsave         :                        0f 01 db
  vmsave         : [rax]                  0f 01 db
  skinit         :                        0f 01 de
  skinit         : %eax                   0f 01 de
  vmgexit        :                        f3 0f 01 d9
  mcommit        :                        f3 0f 01 fa
  psmash         :                        f3 0f 01 ff
  psmash         : [rax]                  f3 0f 01 ff
  pvalidate      :                        f2 0f 01 ff
  pvalidate      : [rax], %ecx, %edx      f2 0f 01 ff
  rmpupdate      :                        f2 0f 01 fe
  rmpupdate      : [rax], %rcx            f2 0f 01 fe
  rmpadjust      :                        f3 0f 01 fe
  rmpadjust      : [rax], %rcx, %rdx      f3 0f 01 fe
  rmpquery       :                        f3 0f 01 fd
  rmpquery       : [rax], %rcx, %rdx      f3 0f 01 fd
`;

/** One row of the table. */
export interface Form {
  /** As the table has them. */
  readonly operands: readonly string[];
  /** 66, f2 or f3 that belongs to the opcode. */
  readonly prefixes: readonly number[];
  readonly wide: boolean;
  readonly opcode: readonly number[];
  /** What is behind the opcode: a ModRM byte whose reg field is a digit or a register. */
  readonly modrm: number | 'register' | undefined;
  readonly immediate: boolean;
}

const FORMS = new Map<string, Form[]>();

for (const line of TABLE.split('\n')) {
  const row = /^\s*(\w+)\s*: (.*?)\s{2,}(.*)$/.exec(line);
  if (!row) continue;
  const [, mnemonic, operands, encoding] = row as unknown as [string, string, string, string];
  const parts = encoding.trim().split(' ');
  const bytes = parts.filter((part) => /^[0-9a-f]{2}$/.test(part)).map((part) => Number.parseInt(part, 16));
  const mandatory = parts[0] !== undefined && /^(66|f2|f3)$/.test(parts[0]) ? 1 : 0;
  const digit = parts.find((part) => /^\/[0-7r]$/.test(part))?.[1];
  const form: Form = {
    operands: operands.trim() === '' ? [] : operands.split(',').map((operand) => operand.trim()),
    prefixes: bytes.slice(0, mandatory),
    wide: parts.includes('w'),
    opcode: bytes.slice(mandatory),
    modrm: digit === undefined ? undefined : digit === 'r' ? 'register' : Number(digit),
    immediate: parts.includes('ib'),
  };
  const known = FORMS.get(mnemonic);
  if (known) known.push(form);
  else FORMS.set(mnemonic, [form]);
}

/** The forms of a mnemonic of the table; undefined for any other. */
export function formsOf(mnemonic: string): readonly Form[] | undefined {
  return FORMS.get(mnemonic);
}

/** The forms, for a message. */
export function describeForms(forms: readonly Form[]): string {
  const shown = forms.map(({ operands }) => (operands.length === 0 ? 'no operands' : operands.join(', ')));
  return [...new Set(shown)].join('; or ');
}
