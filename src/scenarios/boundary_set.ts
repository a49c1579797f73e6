/** Expected sets of boundaries: reading them with an image at hand, and what differs from what was found. */
import { InputError, located } from '../errors.js';
import type { Failure } from '../explore/result.js';
import { eventNamed } from '../harness/events.js';
import { addressOf } from '../hooks/triggers.js';
import type { Image } from '../image/image.js';
import { runs } from '../report/names.js';
import type { ExpectedBoundary, ExpectedFailure } from './scenario.js';

/** A boundary, with the event of the last firing where the set tells events apart. */
interface Entry {
  readonly event: string | undefined;
  readonly boundary: string;
  readonly address: bigint;
}

const key = ({ event, boundary }: Pick<Entry, 'event' | 'boundary'>): string => `${event ?? ''}@${boundary}`;

/** The boundaries that the texts stand for, by key. An InputError names the text's place. */
export function boundarySet(image: Image, list: readonly ExpectedBoundary[]): Map<string, Entry> {
  const entries = list.flatMap(({ text, place }) => located(place, () => entriesOf(image, text)));
  const plain = entries.findIndex((e) => e.event === undefined);
  if (plain >= 0 && entries.some((e) => e.event !== undefined)) {
    throw new InputError(
      `${list[0]!.place}: some boundaries name an event and others do not (${entries[plain]!.boundary}); name it everywhere or nowhere`,
    );
  }
  const set = new Map<string, Entry>();
  for (const entry of entries) {
    if (set.has(key(entry))) throw new InputError(`${list[0]!.place}: ${entry.boundary} is given twice`);
    set.set(key(entry), entry);
  }
  return set;
}

/** `[event@]label+n`, `label+a..b`, `label+a..other+b`; both ends are in the set. */
function entriesOf(image: Image, text: string): Entry[] {
  const match = /^(?:([^@\s]+)@)?([^@\s]+?)(?:\.\.([^@\s]+))?$/.exec(text.trim());
  if (!match) throw new InputError(`'${text}': expected label+n, label+a..b or label+a..label+b`);
  const [, kind, from, to] = match as unknown as [string, string | undefined, string, string | undefined];
  const event = kind === undefined ? undefined : kind === 'none' ? kind : eventNamed(kind).name;
  const first = addressOf(image, from);
  const entry = (address: bigint): Entry => ({ event, boundary: image.name(address), address });
  if (to === undefined) return [entry(first)];
  const last = addressOf(image, /^\+?\d+$/.test(to) ? `${from.replace(/\+\d+$/, '')}+${to.replace('+', '')}` : to);
  const section = image.sectionAt(first);
  if (!section || section !== image.sectionAt(last) || last < first) {
    throw new InputError(`'${text}': the end does not lie after the start, in the same section`);
  }
  return image.instructions(section, first, last + 1n).map(entry);
}

/** What differs between the failures that were expected and those that were found, one line for each difference. */
export function differences(
  image: Image,
  expected: readonly ExpectedFailure[],
  found: readonly Pick<Failure, 'property' | 'boundary' | 'address' | 'event'>[],
): string[] {
  const lines: string[] = [];
  for (const property of [...new Set([...expected.map((e) => e.property), ...found.map((f) => f.property)])]) {
    const expectation = expected.find((e) => e.property === property);
    const failures = found.filter((f) => f.property === property);
    if (!expectation) {
      lines.push(`${property} fails, which is not expected, at ${listed(failures)}`);
      continue;
    }
    if (expectation.boundaries === undefined) {
      if (failures.length === 0) lines.push(`${property} holds, but should fail`);
      continue;
    }
    const wanted = boundarySet(image, expectation.boundaries);
    const eventful = [...wanted.values()].some((e) => e.event !== undefined);
    const seen = new Map(
      failures.map(({ event, boundary, address }) => {
        const entry = { event: eventful ? event : undefined, boundary, address };
        return [key(entry), entry];
      }),
    );
    const missing = [...wanted].filter(([k]) => !seen.has(k)).map(([, e]) => e);
    const more = [...seen].filter(([k]) => !wanted.has(k)).map(([, e]) => e);
    if (seen.size === 0) lines.push(`${property} holds, but should fail at ${listed(missing)}`);
    else {
      if (missing.length > 0) lines.push(`${property} does not fail at ${listed(missing)}, but should`);
      if (more.length > 0) lines.push(`${property} fails also at ${listed(more)}, which is not expected`);
    }
  }
  return lines;
}

/** `nmi+0..+2, mc@irq_return+0`. */
export function listed(
  entries: readonly { readonly event: string | undefined; readonly boundary: string; readonly address: bigint }[],
): string {
  const sorted = [...entries].sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  const events = [...new Set(sorted.map((e) => e.event))];
  return events
    .map((event) => {
      const text = runs([...new Set(sorted.filter((e) => e.event === event).map((e) => e.boundary))]);
      return event === undefined ? text : `${event}@${text.replaceAll(', ', `, ${event}@`)}`;
    })
    .join(', ');
}
