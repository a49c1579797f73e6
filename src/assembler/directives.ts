/** The directives of GNU as, one function each. */
import type { Assembly, OpenCondition } from './assembly.js';
import type { Expression } from './expression.js';
import type { Scanner } from './lexer.js';
import { cutValues, parseMacroHead, repeated } from './macro.js';
import { LONGEST } from './nops.js';
import { leb128, SECTION_LIMIT, sectionFlags } from './section.js';
import { errorAt, type Place, type SourceLine } from './source.js';

type Directive = (assembly: Assembly, scanner: Scanner, name: string, start: number) => void;
type Condition = Directive;

/** `.rept` and the like may repeat this often. */
const REPEAT_LIMIT = 1_000_000;
/** Alignment is at most 2 to this. */
const ALIGNMENT_LIMIT = 20n;

export const directives = new Map<string, Directive>();
/** Directives that are seen in branches that are not assembled, too. */
export const conditions = new Map<string, Condition>();

function add(names: string, directive: Directive): void {
  for (const name of names.split(' ')) directives.set(name, directive);
}

// Accepted without effect: they describe the code for debuggers and linkers.

const ignore: Directive = (_assembly, scanner) => {
  scanner.at = scanner.end;
};
add(
  '.ident .file .loc .line .ln .arch .version .func .endfunc .code64 .att_mnemonic .warning .print .addrsig .addrsig_sym .symver .extern .eject .title .sbttl .psize .list .nolist .desc .stabs .stabn .gnu_attribute .loc_mark_labels',
  ignore,
);
for (const name of 'sections startproc endproc personality lsda def_cfa def_cfa_register def_cfa_offset adjust_cfa_offset offset rel_offset val_offset register restore undefined same_value remember_state restore_state escape signal_frame return_column window_save val_encoded_addr personality_id fde_data inline_lsda'.split(
  ' ',
))
  directives.set(`.cfi_${name}`, ignore);

add('.att_syntax', (_assembly, scanner) => {
  const mode = scanner.rest();
  if (mode !== '' && mode !== 'prefix')
    scanner.fail(`.att_syntax ${mode}`, '.att_syntax prefix: registers are written with %');
});
add('.intel_syntax', (_assembly, scanner, _name, start) =>
  scanner.fail('Intel syntax is not supported', 'AT&T syntax (.att_syntax)', start),
);
add('.code32 .code16 .code16gcc', (_assembly, scanner, name, start) =>
  scanner.fail(`${name}: only 64-bit code is supported`, '.code64', start),
);
add('.altmacro .noaltmacro', (assembly, scanner, name) => {
  assembly.alternateMacros = name === '.altmacro';
  scanner.expectEnd(name);
});
add('.mri', (_assembly, scanner, name, start) => {
  scanner.fail(`${name} is not supported`, 'plain .macro syntax', start);
});
add('.end', (assembly) => assembly.end());
add('.error .err', (_assembly, scanner, name, start) => {
  const text =
    name === '.error' && scanner.peek() === '"' ? Buffer.from(scanner.string()).toString() : `${name} was reached`;
  scanner.fail(text, undefined, start);
});
add('.abort', (_assembly, scanner, _name, start) => scanner.fail('.abort was reached', undefined, start));

// Sections

function subsectionOf(assembly: Assembly, scanner: Scanner): number {
  return scanner.atEnd ? 0 : Number(assembly.absolute(scanner, 'the subsection'));
}

for (const name of ['.text', '.data', '.bss']) {
  add(name, (assembly, scanner) => {
    const subsection = subsectionOf(assembly, scanner);
    assembly.enter(assembly.section(name, sectionFlags(name, undefined, undefined), subsection, scanner.place()));
    scanner.expectEnd(name);
  });
}

function sectionName(scanner: Scanner, directive: string): string {
  if (scanner.peek() === '"') return Buffer.from(scanner.string()).toString();
  scanner.skipSpace();
  const match = /^[^\s,;"]+/.exec(scanner.text.slice(scanner.at, scanner.end));
  if (!match) scanner.fail(`${scanner.found()} after ${directive}`, 'the name of a section');
  scanner.at += match[0].length;
  return match[0];
}

/** `.section name, "flags", @type, …`; for `.pushsection` a subsection may stand before the flags. */
function openSection(assembly: Assembly, scanner: Scanner, directive: string): void {
  const name = sectionName(scanner, directive);
  let subsection = 0;
  let flags: string | undefined;
  let type: string | undefined;
  let attached = '';
  if (scanner.take(',')) {
    if (directive === '.pushsection' && scanner.peek() !== '"') {
      subsection = Number(assembly.absolute(scanner, 'the subsection'));
      if (scanner.take(',')) flags = Buffer.from(scanner.string()).toString();
    } else {
      flags = Buffer.from(scanner.string()).toString();
    }
    const unknown = flags === undefined ? '' : flags.replace(/[awxMSGTedol?R0-9]/g, '');
    if (unknown !== '') scanner.fail(`section flag "${unknown[0]}"`, 'flags out of a, w, x, M, S, G, T, o, ?, R');
    if (scanner.take(',')) {
      if (scanner.peek() === '@' || scanner.peek() === '%') {
        scanner.at++;
        type = scanner.name();
      } else if (scanner.peek() === '"') type = Buffer.from(scanner.string()).toString();
      if (
        type === undefined ||
        !/^(progbits|nobits|note|init_array|fini_array|preinit_array|unwind|0x[0-9a-f]+|\d+)$/.test(type)
      )
        scanner.fail(
          `section type ${type === undefined ? scanner.found() : `@${type}`}`,
          '@progbits, @nobits or @note',
        );
      // What may follow (entry size, group, linked section) does not change the bytes.
      scanner.take(',');
      attached = scanner.rest().replace(/\s+/g, '');
    }
  }
  const place = assembly.section(name, sectionFlags(name, flags, type), subsection, scanner.place());
  // A section of the same name in another group would be one of its own.
  const inherited = flags?.includes('?') ? assembly.current.section.attachedTo : undefined;
  const group = inherited ?? (flags !== undefined && /[Go]/.test(flags) ? attached : '');
  place.section.attachedTo ??= group;
  if (place.section.attachedTo !== group)
    scanner.fail(`section ${name} is already there, but not in this group`, 'another name for this one');
  assembly.enter(place);
  scanner.expectEnd(`section ${name}`);
}

add('.section', (assembly, scanner) => openSection(assembly, scanner, '.section'));
add('.pushsection', (assembly, scanner, _name, start) => {
  if (assembly.sectionStack.length > 1000) scanner.fail('more than 1000 sections pushed', '.popsection', start);
  assembly.sectionStack.push({ current: assembly.current, previous: assembly.previous });
  openSection(assembly, scanner, '.pushsection');
});
add('.popsection', (assembly, scanner, _name, start) => {
  const entry = assembly.sectionStack.pop();
  if (!entry) throw errorAt(scanner.place(start), '.popsection without .pushsection');
  assembly.restore(entry);
  scanner.expectEnd('.popsection');
});
add('.previous', (assembly, scanner) => {
  assembly.enter(assembly.previous);
  scanner.expectEnd('.previous');
});
add('.subsection', (assembly, scanner) => {
  assembly.enter({ section: assembly.current.section, subsection: subsectionOf(assembly, scanner) });
});

// Symbols

function eachName(scanner: Scanner, what: string, each: (name: string) => void): void {
  do each(scanner.expectName(what));
  while (scanner.take(','));
  scanner.expectEnd(what);
}

add('.globl .global', (assembly, scanner) =>
  eachName(scanner, 'a symbol', (name) => {
    const symbol = assembly.symbols.get(name);
    if (symbol.binding === 'local') symbol.binding = 'global';
  }),
);
add('.weak', (assembly, scanner) =>
  eachName(scanner, 'a symbol', (name) => {
    assembly.symbols.get(name).binding = 'weak';
  }),
);
add('.local', (assembly, scanner) =>
  eachName(scanner, 'a symbol', (name) => {
    assembly.symbols.get(name).keptLocal = true;
  }),
);
add('.hidden .protected .internal', (assembly, scanner) =>
  eachName(scanner, 'a symbol', (name) => void assembly.symbols.get(name)),
);
add('.type', (assembly, scanner) => {
  const symbol = assembly.symbols.get(scanner.expectName('a symbol'));
  scanner.take(',');
  const sign = scanner.peek();
  if (sign === '@' || sign === '%' || sign === '#') scanner.at++;
  const at = scanner.at;
  const type = scanner.peek() === '"' ? Buffer.from(scanner.string()).toString() : (scanner.name() ?? '');
  switch (type.replace(/^STT_/, '').toLowerCase()) {
    case 'function':
    case 'func':
    case 'gnu_indirect_function':
      symbol.type = 'func';
      break;
    case 'object':
    case 'tls_object':
    case 'common':
      symbol.type = 'object';
      break;
    case 'notype':
      symbol.type = 'notype';
      break;
    default:
      scanner.fail(`symbol type "${type}"`, '@function, @object or @notype', at);
  }
  scanner.expectEnd('the type');
});
add('.size', (assembly, scanner) => {
  const symbol = assembly.symbols.get(scanner.expectName('a symbol'));
  scanner.expect(',', 'the symbol');
  symbol.size = assembly.expression(scanner);
  scanner.expectEnd('the size');
});
add('.set .equ .equiv .eqv', (assembly, scanner, name, start) => {
  const at = scanner.skipSpace().at;
  const symbol = scanner.expectName('a symbol');
  scanner.expect(',', `"${symbol}"`);
  const expression = assembly.expression(scanner);
  scanner.expectEnd('the value');
  const place = scanner.place(at === start ? start : at);
  if (symbol === '.') assembly.origin(expression, 0, place);
  else assembly.equate(symbol, expression, place, name === '.set' || name === '.equ');
});
add('.comm .lcomm', (assembly, scanner, name) => {
  const at = scanner.skipSpace().at;
  const symbol = assembly.symbols.get(scanner.expectName('a symbol'));
  if (symbol.defined) scanner.fail(`symbol "${symbol.name}" is already defined`, 'another name', at);
  scanner.expect(',', 'the symbol');
  const size = assembly.absolute(scanner, 'the size');
  const natural = size >= 8n ? 8n : size >= 4n ? 4n : size >= 2n ? 2n : 1n;
  const alignment = scanner.take(',') ? assembly.absolute(scanner, 'the alignment') : natural;
  const back = { current: assembly.current, previous: assembly.previous };
  assembly.enter(assembly.section('.bss', sectionFlags('.bss', undefined, undefined), 1, scanner.place()));
  align(assembly, powerOf(scanner, alignment), undefined, 0, scanner.place(at));
  symbol.label = { fragment: assembly.fragment, offset: assembly.fragment.length };
  symbol.definedAt = scanner.place(at);
  symbol.type = 'object';
  symbol.size = { kind: 'number', value: size };
  if (name === '.comm' && !symbol.keptLocal) symbol.binding = 'global';
  assembly.emitFill(count(scanner, size), Uint8Array.of(0), scanner.place());
  assembly.restore(back);
});

// Data

const DATA: Readonly<Record<string, 1 | 2 | 4 | 8>> = {
  '.byte': 1,
  '.dc.b': 1,
  '.value': 2,
  '.word': 2,
  '.short': 2,
  '.hword': 2,
  '.2byte': 2,
  '.dc.w': 2,
  '.long': 4,
  '.int': 4,
  '.4byte': 4,
  '.dc.l': 4,
  '.quad': 8,
  '.8byte': 8,
};
for (const [name, size] of Object.entries(DATA)) {
  add(name, (assembly, scanner) => {
    for (const part of scanner.operands()) {
      part.skipSpace();
      const place = part.place();
      const expression = assembly.expression(part);
      part.expectEnd('the value');
      assembly.emitValue(expression, size, place);
    }
  });
}
add('.octa', (assembly, scanner) => {
  for (const part of scanner.operands()) {
    const place = part.skipSpace().place();
    const text = part.rest();
    if (!/^(0[xX][0-9a-fA-F]{1,32}|0|[1-9]\d{0,38})$/.test(text))
      scanner.fail(`.octa ${text}`, 'a plain number', place.offset);
    const value = BigInt(text);
    const bytes = Uint8Array.from({ length: 16 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
    assembly.emit(bytes, place);
  }
});
add('.ascii .asciz .string .string8', (assembly, scanner, name) => {
  const terminated = name !== '.ascii';
  if (scanner.atEnd) return;
  do {
    const parts: Uint8Array[] = [];
    const place = scanner.place();
    // Strings without a comma between them are one.
    do parts.push(scanner.string());
    while (scanner.peek() === '"');
    for (const part of parts) assembly.emit(part, place);
    if (terminated) assembly.emit(Uint8Array.of(0), place);
  } while (scanner.take(','));
  scanner.expectEnd('the string');
});

add('.uleb128 .sleb128', (assembly, scanner, name) => {
  const signed = name === '.sleb128';
  for (const part of scanner.operands()) {
    const place = part.skipSpace().place();
    const value = assembly.expression(part);
    part.expectEnd('the value');
    const constant = assembly.constantNow(value);
    if (constant === undefined) assembly.close({ kind: 'leb', value, signed, place });
    else assembly.emit(leb128(constant, signed), place);
  }
});
add('.reloc', (assembly, scanner, name) => {
  assembly.expression(scanner);
  scanner.expect(',', 'the offset');
  const at = scanner.skipSpace().at;
  const type = scanner.name();
  if (type !== 'R_X86_64_NONE' && type !== 'BFD_RELOC_NONE')
    scanner.fail(`${name} of type ${type ?? scanner.found()}`, 'R_X86_64_NONE, which changes nothing', at);
  scanner.at = scanner.end;
});

function count(scanner: Scanner, value: bigint): number {
  if (value < 0n || value > BigInt(SECTION_LIMIT))
    scanner.fail(`${value < 0n ? value : `0x${value.toString(16)}`} bytes`, `a count of 0 to ${SECTION_LIMIT}`);
  return Number(value);
}

function fill(assembly: Assembly, scanner: Scanner, amount: Expression, pattern: Uint8Array, start: number): void {
  const value = assembly.constantNow(amount);
  if (value === undefined) {
    assembly.close({ kind: 'space', count: amount, fill: pattern, place: scanner.place(start) });
    return;
  }
  const times = count(scanner, value);
  count(scanner, value * BigInt(pattern.length));
  assembly.emitFill(times, pattern, scanner.place(start));
}

add('.skip .space .zero .dcb.b .ds.b', (assembly, scanner, name, start) => {
  const amount = assembly.expression(scanner);
  const value = scanner.take(',') ? assembly.absolute(scanner, 'the fill byte') : 0n;
  scanner.expectEnd(name);
  fill(assembly, scanner, amount, Uint8Array.of(Number(value & 0xffn)), start);
});
add('.fill', (assembly, scanner, name, start) => {
  const repeat = assembly.expression(scanner);
  const size = scanner.take(',') ? assembly.absolute(scanner, 'the size') : 1n;
  const value = scanner.take(',') ? assembly.absolute(scanner, 'the value') : 0n;
  scanner.expectEnd(name);
  if (size < 0n) scanner.fail(`.fill of size ${size}`, 'a size of 0 to 8', start);
  // Larger sizes count as 8; only four bytes of the value are used.
  const width = size > 8n ? 8 : Number(size);
  const pattern = Uint8Array.from({ length: width }, (_, i) => (i < 4 ? Number((value >> BigInt(8 * i)) & 0xffn) : 0));
  if (width > 0) fill(assembly, scanner, repeat, pattern, start);
});
add('.org', (assembly, scanner, _name, start) => {
  const target = assembly.expression(scanner);
  const value = scanner.take(',') ? assembly.absolute(scanner, 'the fill byte') : 0n;
  scanner.expectEnd('.org');
  assembly.origin(target, Number(value & 0xffn), scanner.place(start));
});
add('.nops', (assembly, scanner, name, start) => {
  const amount = assembly.expression(scanner);
  const at = scanner.skipSpace().at;
  const longest = scanner.take(',') ? assembly.absolute(scanner, 'the largest NOP') : 0n;
  scanner.expectEnd(name);
  if (longest < 0n || longest > BigInt(LONGEST)) scanner.fail(`NOPs of ${longest} bytes`, `0 to ${LONGEST}`, at);
  const place = scanner.place(start);
  const value = assembly.constantNow(amount);
  if (value !== undefined) count(scanner, value);
  assembly.close({ kind: 'nops', count: amount, longest: Number(longest) || LONGEST, place });
});
add('.incbin', (_assembly, scanner, name, start) => scanner.fail(`${name} is not supported`, '.byte', start));
add('.include', (assembly, scanner) => {
  const name = Buffer.from(scanner.string()).toString();
  const { line } = scanner;
  if (line.frame.depth >= 100) scanner.fail('files included deeper than 100', 'an include guard');
  const { path, text } = assembly.preprocessor.open(name, true, line);
  assembly.preprocessor.sources.set(path, text);
  const frame = { file: path, path, includedFrom: { frame: line.frame, line: line.line }, depth: line.frame.depth + 1 };
  const lines = text.split('\n').map(
    (content, i): SourceLine => ({
      text: content.replace(/\r$/, ''),
      frame,
      line: i + 1,
      columns: undefined,
      expansion: line.expansion,
    }),
  );
  assembly.push(lines, false);
});

// Alignment

function powerOf(scanner: Scanner, bytes: bigint): number {
  if (bytes === 0n) return 0;
  let power = 0n;
  while (1n << power < bytes) power++;
  if (bytes < 0n || 1n << power !== bytes) scanner.fail(`alignment ${bytes}`, 'a power of two');
  return checkedPower(scanner, power);
}

function checkedPower(scanner: Scanner, power: bigint): number {
  if (power < 0n || power > ALIGNMENT_LIMIT)
    scanner.fail(`alignment to 2 to the ${power}`, `at most 2 to the ${ALIGNMENT_LIMIT}`);
  return Number(power);
}

function align(assembly: Assembly, power: number, pattern: Uint8Array | undefined, max: number, place: Place): void {
  const { section } = assembly.current;
  section.align = Math.max(section.align, 2 ** power);
  section.touched = true;
  if (power === 0) return;
  assembly.close({ kind: 'align', alignment: 2 ** power, fill: pattern, max, place });
}

function alignDirective(power: boolean, width: 1 | 2 | 4): Directive {
  return (assembly, scanner, name, start) => {
    let exponent = 0;
    if (!scanner.atEnd && scanner.peek() !== ',') {
      const value = assembly.absolute(scanner, 'the alignment');
      exponent = power ? checkedPower(scanner, value) : powerOf(scanner, value);
    }
    let pattern: Uint8Array | undefined;
    let max = 0n;
    if (scanner.take(',')) {
      if (!scanner.atEnd && scanner.peek() !== ',') {
        const value = assembly.absolute(scanner, 'the fill');
        // One-byte NOPs in code stand for any NOPs.
        if (width !== 1 || !assembly.current.section.flags.exec || BigInt.asIntN(8, value) !== -0x70n)
          pattern = Uint8Array.from({ length: width }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
      }
      if (scanner.take(',')) max = assembly.absolute(scanner, 'the largest padding');
    }
    scanner.expectEnd(name);
    align(assembly, exponent, pattern, max < 0n ? 0 : count(scanner, max), scanner.place(start));
  };
}
add('.align .balign', alignDirective(false, 1));
add('.balignw', alignDirective(false, 2));
add('.balignl', alignDirective(false, 4));
add('.p2align', alignDirective(true, 1));
add('.p2alignw', alignDirective(true, 2));
add('.p2alignl', alignDirective(true, 4));

// Macros and repetition

const MACRO_OPENS = /^\.macro\b/i;
const MACRO_CLOSES = /^\.endm(acro)?\b/i;
const REPEAT_OPENS = /^\.(rept|irp|irpc|rep)\b/i;
const REPEAT_CLOSES = /^\.endr\b/i;

add('.macro', (assembly, scanner, _name, start) => {
  const { name, parameters } = parseMacroHead(scanner, assembly.alternate);
  const known = assembly.macros.get(name.toLowerCase());
  if (known)
    scanner.fail(
      `macro ${name} is already defined at ${known.definedAt.frame.file}:${known.definedAt.line}`,
      'another name, or .purgem before',
      start,
    );
  assembly.collect(scanner.place(start), '.macro', MACRO_OPENS, MACRO_CLOSES, '.endm', (body) => {
    assembly.macros.set(name.toLowerCase(), { name, parameters, body, definedAt: scanner.line });
  });
});
add('.endm .endmacro', (_assembly, scanner, name, start) => scanner.fail(`${name} without .macro`, undefined, start));
add('.endr', (_assembly, scanner, name, start) => scanner.fail(`${name} without .rept or .irp`, undefined, start));
add('.purgem', (assembly, scanner) =>
  eachName(scanner, 'a macro', (name) => {
    if (!assembly.macros.delete(name.toLowerCase())) scanner.fail(`there is no macro ${name}`, 'the name of a macro');
  }),
);
add('.exitm', (assembly, scanner, _name, start) => assembly.exitMacro(scanner.place(start)));
add('.rept .rep', (assembly, scanner, name, start) => {
  const times = assembly.absolute(scanner, 'the count');
  scanner.expectEnd(name);
  if (times > BigInt(REPEAT_LIMIT)) scanner.fail(`${name} ${times}`, `at most ${REPEAT_LIMIT} repetitions`, start);
  assembly.collect(scanner.place(start), name, REPEAT_OPENS, REPEAT_CLOSES, '.endr', (body) => {
    const lines: SourceLine[] = [];
    if (times * BigInt(body.length) > 2_000_000n)
      throw errorAt(scanner.place(start), `${name} makes more than 2000000 lines`, 'fewer repetitions');
    const once = repeated(body, name, scanner.line);
    for (let i = 0n; i < times; i++) for (const line of once) lines.push(line);
    assembly.push(lines, false);
  });
});

function overValues(
  assembly: Assembly,
  scanner: Scanner,
  name: string,
  start: number,
  values: (rest: Scanner) => string[],
): void {
  const symbol = scanner.name();
  if (symbol === undefined) scanner.fail(`${scanner.found()} after ${name}`, 'a name');
  scanner.take(',');
  const list = values(scanner);
  assembly.collect(scanner.place(start), name, REPEAT_OPENS, REPEAT_CLOSES, '.endr', (body) => {
    const lines: SourceLine[] = [];
    for (const value of list) {
      for (const line of assembly.expand(body, new Map([[symbol, value]]), name, scanner.line, false)) lines.push(line);
    }
    assembly.push(lines, false);
  });
}
add('.irp', (assembly, scanner, name, start) =>
  overValues(assembly, scanner, name, start, (rest) => cutValues(rest, assembly.alternate)),
);
add('.irpc', (assembly, scanner, name, start) =>
  overValues(assembly, scanner, name, start, (rest) => {
    const text = rest.rest().replace(/^"(.*)"$/, '$1');
    return text === '' ? [''] : [...text].filter((c) => c !== ' ' && c !== '\t');
  }),
);

// Conditions

function open(assembly: Assembly, scanner: Scanner, start: number, holds: () => boolean): void {
  const outer = assembly.active;
  const value = outer && holds();
  const condition: OpenCondition = { active: value, taken: value, outer, elseSeen: false, place: scanner.place(start) };
  assembly.conditions.push(condition);
  if (assembly.conditions.length > 1000) scanner.fail('conditions nested deeper than 1000', '.endif');
}

function addCondition(names: string, test: (assembly: Assembly, scanner: Scanner, name: string) => boolean): void {
  for (const name of names.split(' ')) {
    conditions.set(name, (assembly, scanner, _name, start) =>
      open(assembly, scanner, start, () => {
        const result = test(assembly, scanner, name);
        scanner.expectEnd(name);
        return result;
      }),
    );
  }
}

const COMPARISONS: Readonly<Record<string, (value: bigint) => boolean>> = {
  '.if': (value) => value !== 0n,
  '.ifne': (value) => value !== 0n,
  '.ifeq': (value) => value === 0n,
  '.iflt': (value) => value < 0n,
  '.ifle': (value) => value <= 0n,
  '.ifgt': (value) => value > 0n,
  '.ifge': (value) => value >= 0n,
};
addCondition(Object.keys(COMPARISONS).join(' '), (assembly, scanner, name) =>
  COMPARISONS[name]!(assembly.absolute(scanner, `the condition of ${name}`)),
);
addCondition('.ifdef .ifndef .ifnotdef', (assembly, scanner, name) => {
  const symbol = assembly.symbols.find(scanner.expectName('a symbol'));
  return (symbol?.defined ?? false) === (name === '.ifdef');
});
addCondition('.ifb .ifnb', (_assembly, scanner, name) => (scanner.rest() === '') === (name === '.ifb'));
addCondition('.ifc .ifnc', (_assembly, scanner, name) => {
  const parts = scanner.operands();
  const text = (part: Scanner) => {
    const value = part.rest().replace(/[ \t]+/g, ' ');
    return /^'.*'$/.test(value) ? value.slice(1, -1) : value;
  };
  if (parts.length !== 2)
    scanner.fail(
      `${name} with ${parts.length} string${parts.length === 1 ? '' : 's'}`,
      'two, with a comma between them',
    );
  return (text(parts[0]!) === text(parts[1]!)) === (name === '.ifc');
});
addCondition('.ifeqs .ifnes', (_assembly, scanner, name) => {
  const first = Buffer.from(scanner.string()).toString();
  scanner.expect(',', 'the first string');
  return (first === Buffer.from(scanner.string()).toString()) === (name === '.ifeqs');
});

function innermost(assembly: Assembly, scanner: Scanner, name: string, start: number): OpenCondition {
  const condition = assembly.conditions.at(-1);
  if (!condition) scanner.fail(`${name} without .if`, undefined, start);
  if (condition.elseSeen && name !== '.endif')
    scanner.fail(`${name} after .else`, `.endif for the .if at line ${condition.place.line.line}`, start);
  return condition;
}
conditions.set('.else', (assembly, scanner, name, start) => {
  const condition = innermost(assembly, scanner, name, start);
  condition.elseSeen = true;
  condition.active = condition.outer && !condition.taken;
  condition.taken = true;
});
conditions.set('.elseif', (assembly, scanner, name, start) => {
  const condition = innermost(assembly, scanner, name, start);
  condition.active = false;
  if (!condition.outer || condition.taken) return;
  condition.active = assembly.absolute(scanner, 'the condition of .elseif') !== 0n;
  condition.taken = condition.active;
});
conditions.set('.endif', (assembly, scanner, name, start) => {
  innermost(assembly, scanner, name, start);
  assembly.conditions.pop();
});
