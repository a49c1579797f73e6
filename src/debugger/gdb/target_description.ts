/**
 * The target description: which registers there are, as XML for gdb.
 *
 * Source: GDB manual, appendix "Target Descriptions". Bits: SDM vol. 3, 2.2.1 (EFER), 2.5 (control registers), 17.2.3 (DR6).
 */
import { EventState } from '../../harness/event_state.js';
import { GDB_REGISTERS, type GdbRegister } from './registers.js';

type Bits = readonly (readonly [name: string, bit: number])[];

/** SDM vol. 3, 2.5. */
const CR0: Bits = [
  ['PE', 0],
  ['MP', 1],
  ['EM', 2],
  ['TS', 3],
  ['ET', 4],
  ['NE', 5],
  ['WP', 16],
  ['AM', 18],
  ['NW', 29],
  ['CD', 30],
  ['PG', 31],
];
const CR4: Bits = [
  ['VME', 0],
  ['PVI', 1],
  ['TSD', 2],
  ['DE', 3],
  ['PSE', 4],
  ['PAE', 5],
  ['MCE', 6],
  ['PGE', 7],
  ['PCE', 8],
  ['OSFXSR', 9],
  ['OSXMMEXCPT', 10],
  ['UMIP', 11],
  ['LA57', 12],
  ['VMXE', 13],
  ['SMXE', 14],
  ['FSGSBASE', 16],
  ['PCIDE', 17],
  ['OSXSAVE', 18],
  ['SMEP', 20],
  ['SMAP', 21],
  ['PKE', 22],
  ['CET', 23],
  ['FRED', 32],
];
/** SDM vol. 3, 2.2.1; SVME: APM vol. 2, 3.1.7. */
const EFER: Bits = [
  ['SCE', 0],
  ['LME', 8],
  ['LMA', 10],
  ['NXE', 11],
  ['SVME', 12],
];
/** SDM vol. 3, 17.2.3. */
const DR6: Bits = [
  ['B0', 0],
  ['B1', 1],
  ['B2', 2],
  ['B3', 3],
  ['BLD', 11],
  ['BD', 13],
  ['BS', 14],
  ['BT', 15],
  ['RTM', 16],
];
const EVENTS: Bits = Object.entries(EventState).map(([name, mask]) => [name, 31 - Math.clz32(mask)]);
/** SDM vol. 1, 3.4.3. */
const EFLAGS: Bits = [
  ['CF', 0],
  ['', 1],
  ['PF', 2],
  ['AF', 4],
  ['ZF', 6],
  ['SF', 7],
  ['TF', 8],
  ['IF', 9],
  ['DF', 10],
  ['OF', 11],
  ['NT', 14],
  ['RF', 16],
  ['VM', 17],
  ['AC', 18],
  ['VIF', 19],
  ['VIP', 20],
  ['ID', 21],
];

function flags(id: string, size: number, bits: Bits): string {
  const fields = bits.map(([name, bit]) => `<field name="${name}" start="${bit}" end="${bit}"/>`);
  return `<flags id="${id}" size="${size}">${fields.join('')}</flags>`;
}

const FEATURES: Readonly<Record<GdbRegister['feature'], readonly [name: string, types: readonly string[]]>> = {
  core: ['org.gnu.gdb.i386.core', [flags('i386_eflags', 4, EFLAGS)]],
  segments: ['org.gnu.gdb.i386.segments', []],
  machine: [
    'org.entrace.machine',
    [
      flags('cr0_flags', 8, CR0),
      flags('cr4_flags', 8, CR4),
      flags('efer_flags', 8, EFER),
      flags('dr6_flags', 8, DR6),
      flags('events_flags', 8, EVENTS),
    ],
  ],
  debugger: ['org.entrace.debugger', []],
};

function feature(kind: GdbRegister['feature']): string {
  const [name, types] = FEATURES[kind];
  const registers = GDB_REGISTERS.flatMap((register, number) => {
    if (register.feature !== kind) return [];
    const { name, bits, type, group } = register;
    const inGroup = group === undefined ? '' : ` group="${group}"`;
    return `<reg name="${name}" bitsize="${bits}" type="${type}" regnum="${number}"${inGroup}/>`;
  });
  return [`<feature name="${name}">`, ...types, ...registers, '</feature>'].join('\n');
}

/** `target.xml`. Without an operating system: gdb would take the conventions of the one that it runs on. */
export const TARGET_DESCRIPTION = [
  '<?xml version="1.0"?>',
  '<!DOCTYPE target SYSTEM "gdb-target.dtd">',
  '<target version="1.0">',
  '<architecture>i386:x86-64</architecture>',
  '<osabi>none</osabi>',
  ...(Object.keys(FEATURES) as (keyof typeof FEATURES)[]).map(feature),
  '</target>',
  '',
].join('\n');
