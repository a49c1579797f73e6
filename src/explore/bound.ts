/** What a search may fire: how many events of each kind, and where. */
import { InputError } from '../errors.js';
import { EVENT_KINDS, type EventKind } from '../harness/machine.js';
import type { Image } from '../image/image.js';
import { rangesOf, type Range } from '../hooks/triggers.js';
import type { Platform } from '../platforms/platform.js';

export type Bound = Readonly<Partial<Record<EventKind, number>>>;

/** More events than this in one search are a mistake: the count has 8 bits. */
const MOST = 255;

/** Reads `nmi=2,bp=1`. */
export function parseBound(text: string): Bound {
  const bound: Partial<Record<EventKind, number>> = {};
  for (const part of text.split(',')) {
    const match = /^\s*([a-z][a-z0-9-]*)\s*=\s*(\d+)\s*$/.exec(part);
    if (!match) throw new InputError(`events '${text}': '${part.trim()}' is not of the form KIND=NUMBER, for example nmi=2,bp=1`);
    const kind = eventKind(match[1]!);
    if (bound[kind] !== undefined) throw new InputError(`events '${text}': ${kind} is given twice`);
    const count = Number(match[2]);
    if (count > MOST) throw new InputError(`events '${text}': at most ${MOST} events of a kind`);
    bound[kind] = count;
  }
  return bound;
}

export function eventKind(name: string): EventKind {
  const kind = EVENT_KINDS.find((k) => k === name);
  if (!kind) throw new InputError(`there is no event '${name}'; the events are ${EVENT_KINDS.join(', ')}`);
  return kind;
}

export function printBound(bound: Bound): string {
  return EVENT_KINDS.filter((k) => bound[k] !== undefined).map((k) => `${k}=${bound[k]}`).join(',');
}

/** Where each kind may fire; undefined: everywhere. */
export type Places = Readonly<Partial<Record<EventKind, readonly Range[]>>>;

/** Reads `bp=do_nmi..do_nmi_end` (several, of one kind or many); a kind without a place gets the platform's default. */
export function parsePlaces(texts: readonly string[], image: Image, platform: Platform): Places {
  const places: Partial<Record<EventKind, Range[]>> = {};
  for (const text of texts) {
    const match = /^([a-z][a-z0-9-]*)=(.+)$/.exec(text.trim());
    if (!match) throw new InputError(`--at '${text}': expected KIND=LABEL..LABEL, for example bp=do_nmi..do_nmi_end`);
    const kind = eventKind(match[1]!);
    places[kind] = [...(places[kind] ?? []), ...rangesOf(image, match[2]!)];
  }
  places.bp ??= bodyRanges(image, platform);
  return places;
}

/** The C part of the handlers: from each function to its `_end` label. */
export function bodyRanges(image: Image, platform: Platform): Range[] {
  const names = [...new Set([...platform.bodies, ...platform.cParts])].filter((name) => image.globals.has(name));
  const ranges: Range[] = [];
  for (const name of names) {
    const start = image.globals.get(name)!;
    const end = image.find(`${name}_end`)?.address ?? (start.size > 0n ? start.address + start.size : undefined);
    if (end === undefined) {
      throw new InputError(
        `${start.position ? `${start.position.file}:${start.position.line}: ` : ''}the end of ${name} is not known: put a label ${name}_end after it, or give .size, or say where breakpoints may fire with --at bp=LABEL..LABEL`,
      );
    }
    if (!ranges.some((r) => r.start === start.address && r.end === end)) ranges.push({ start: start.address, end });
  }
  return ranges;
}
