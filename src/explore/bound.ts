/** What a search may fire: how many events of each kind, and where. */
import { Access } from '../cpu/decoder.js';
import { InputError } from '../errors.js';
import { byKind, eventNamed } from '../harness/events.js';
import { memoryRange, type Range, rangesOf } from '../hooks/triggers.js';
import type { Image } from '../image/image.js';
import type { Platform } from '../platforms/platform.js';

export type Bound = Readonly<Record<string, number>>;

/** The kinds of a bound, in the order in which they are fired and printed. */
export function kindsOf(bound: Bound): string[] {
  return Object.keys(bound).sort(byKind);
}

/** More events than this in one search are a mistake: the count has 8 bits. */
const MOST = 255;
/** As many kinds as a state has room for. */
const MOST_KINDS = 16;

/** Reads `nmi=2,bp=1`. */
export function parseBound(text: string): Bound {
  const bound: Record<string, number> = {};
  for (const part of text.split(',')) {
    const match = /^\s*([a-z][a-z0-9:-]*)\s*=\s*(\d+)\s*$/.exec(part);
    if (!match)
      throw new InputError(`events '${text}': '${part.trim()}' is not of the form KIND=NUMBER, for example nmi=2,bp=1`);
    const kind = eventNamed(match[1]!).name;
    if (bound[kind] !== undefined) throw new InputError(`events '${text}': ${kind} is given twice`);
    const count = Number(match[2]);
    if (count > MOST) throw new InputError(`events '${text}': at most ${MOST} events of a kind`);
    bound[kind] = count;
  }
  if (Object.keys(bound).length > MOST_KINDS)
    throw new InputError(`events '${text}': at most ${MOST_KINDS} kinds in one search`);
  return bound;
}

export function printBound(bound: Bound): string {
  return kindsOf(bound)
    .map((k) => `${k}=${bound[k]}`)
    .join(',');
}

/** Where an event may fire: at the boundaries of a range of code, or before an instruction that accesses memory. */
export type Place =
  | { readonly at: 'code'; readonly range: Range }
  | { readonly at: 'access'; readonly range: Range; readonly access: number };

/** Where each kind may fire; undefined: everywhere. */
export type Places = Readonly<Partial<Record<string, readonly Place[]>>>;

const ACCESS: Readonly<Record<string, number>> = {
  access: Access.READ | Access.WRITE,
  read: Access.READ,
  write: Access.WRITE,
};

/**
 * Reads `bp=do_nmi..do_nmi_end` or `nmi=write:nmi_state` (several, of one kind or many); what
 * code raises itself (a breakpoint, a fault) gets the body if no place is given.
 */
export function parsePlaces(texts: readonly string[], image: Image, platform: Platform, bound: Bound): Places {
  const places: Partial<Record<string, Place[]>> = {};
  for (const text of texts) {
    const match = /^([a-z][a-z0-9:-]*)=(?:(access|read|write):)?(.+)$/.exec(text.trim());
    if (!match) {
      throw new InputError(
        `--at '${text}': expected KIND=LABEL..LABEL or KIND=write:SYMBOL, for example bp=do_nmi..do_nmi_end`,
      );
    }
    const kind = eventNamed(match[1]!).name;
    const found: Place[] = match[2]
      ? [{ at: 'access', range: memoryRange(image, match[3]!), access: ACCESS[match[2]]! }]
      : rangesOf(image, match[3]!).map((range) => ({ at: 'code', range }));
    places[kind] = [...(places[kind] ?? []), ...found];
  }
  const idle = Object.keys(places).find((kind) => bound[kind] === undefined);
  if (idle !== undefined) {
    throw new InputError(
      `--at '${idle}=…': ${idle} is not among the events; add it to --events, for example ${printBound({ ...bound, [idle]: 1 })}`,
    );
  }
  // What code raises itself comes from the C part: the assembly around it is written so that it raises nothing.
  for (const kind of kindsOf(bound)) {
    if (!eventNamed(kind).synchronous || places[kind]) continue;
    places[kind] = bodyRanges(image, platform, kind).map((range) => ({ at: 'code', range }));
  }
  return places;
}

/** The places in words: `bp in do_nmi..do_nmi_end`. */
export function describePlaces(places: Places, bound: Bound, image: Image): string[] {
  const name = (address: bigint): string => image.name(address).replace(/\+0$/, '');
  return kindsOf(bound)
    .filter((kind) => places[kind] && bound[kind]! > 0)
    .map((kind) => {
      const all = places[kind]!.map(({ at, range }) => {
        if (at === 'access') return `before an access to 0x${range.start.toString(16)}..0x${range.end.toString(16)}`;
        return range.end - range.start === 1n
          ? `at ${name(range.start)}`
          : `in ${name(range.start)}..${name(range.end)}`;
      });
      const list = [...new Set(all)];
      return `${kind} ${list.length > 0 ? list.join(', ') : 'nowhere: the image has no body'}`;
    });
}

/** The C part of the handlers: from each function to its `_end` label. An InputError that advises for `kind` where there is none. */
export function bodyRanges(image: Image, platform: Platform, kind: string): Range[] {
  const names = [...new Set([...platform.bodies, ...platform.cParts])].filter((name) => image.globals.has(name));
  const ranges: Range[] = [];
  for (const name of names) {
    const start = image.globals.get(name)!;
    // A label of another module ends another function of that name, one that an executable's own has replaced.
    const label = image.find(`${name}_end`);
    const end =
      label?.module === start.module ? label.address : start.size > 0n ? start.address + start.size : undefined;
    if (end === undefined) {
      throw new InputError(
        `${start.position ? `${start.position.file}:${start.position.line}: ` : ''}the end of ${name} is not known: put a label ${name}_end after it, or give .size, or say where ${kind} may fire with --at ${kind}=LABEL..LABEL`,
      );
    }
    if (!ranges.some((r) => r.start === start.address && r.end === end)) ranges.push({ start: start.address, end });
  }
  return ranges;
}
