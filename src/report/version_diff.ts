/** Two versions of the same code side by side: which windows are new, which are gone, which are as before. */
import { diffArrays } from 'diff';
import type { Image } from '../image/image.js';
import { PROPERTIES } from '../properties/index.js';
import { runs } from './names.js';
import type { Paint } from './text.js';

export type Verdict = 'holds' | 'fails' | 'open';

/** A window: the property that fails, and the last event of the shortest schedule. */
export interface Window {
  readonly property: string;
  readonly boundary: string;
  readonly event: string;
}

/** What one version comes to in one setting. */
export interface Searched {
  /** The setting: `context kernel, profile intel`, or the name of a case. */
  readonly name: string;
  readonly verdict: Verdict;
  /** The bound was closed; if not, a window that is not there may only not have been found. */
  readonly closed: boolean;
  readonly windows: readonly Window[];
}

/** `fixed`: only the old version fails there; `broken`: only the new one; `unknown`: the search that has it not was not closed. */
export type Change = 'fixed' | 'broken' | 'unchanged' | 'unknown';

export interface Changed {
  readonly property: string;
  readonly event: string;
  /** In the old version; undefined if only the new one fails there. */
  readonly old: string | undefined;
  readonly new: string | undefined;
  readonly change: Change;
}

export interface Setting {
  readonly name: string;
  readonly old: Verdict | undefined;
  readonly new: Verdict | undefined;
  readonly changes: readonly Changed[];
}

/** The settings of both, in the order of the old ones; `follow` gives the name that a boundary of the old version has in the new one. */
export function versionDiff(
  before: readonly Searched[],
  after: readonly Searched[],
  follow: (boundary: string) => string,
): Setting[] {
  const names = [...new Set([...before, ...after].map((s) => s.name))];
  return names.map((name) => {
    const a = before.find((s) => s.name === name);
    const b = after.find((s) => s.name === name);
    return { name, old: a?.verdict, new: b?.verdict, changes: a && b ? changes(a, b, follow) : [] };
  });
}

function changes(before: Searched, after: Searched, follow: (boundary: string) => string): Changed[] {
  const key = (w: Window): string => `${w.property} ${w.event} ${w.boundary}`;
  const left = new Map(after.windows.map((w) => [key(w), w]));
  const list: Changed[] = before.windows.map((w) => {
    const { property, event, boundary } = w;
    const other = left.get(key({ ...w, boundary: follow(boundary) }));
    if (other) left.delete(key(other));
    const change: Change = other ? 'unchanged' : after.closed ? 'fixed' : 'unknown';
    return { property, event, old: boundary, new: other?.boundary, change };
  });
  for (const { property, event, boundary } of left.values()) {
    list.push({ property, event, old: undefined, new: boundary, change: before.closed ? 'broken' : 'unknown' });
  }
  const rank = (property: string): number => PROPERTIES.findIndex((p) => p.name === property);
  return list.sort((x, y) => rank(x.property) - rank(y.property));
}

/** Follows boundaries from one image to another, by the longest common run of instructions. */
export function follower(before: Image, after: Image): (boundary: string) => string {
  const [a, b] = [instructions(before), instructions(after)];
  const names = new Map<string, string>();
  let i = 0;
  let j = 0;
  for (const part of diffArrays(
    a.map((x) => x.text),
    b.map((x) => x.text),
  )) {
    const n = part.value.length;
    if (part.removed) i += n;
    else if (part.added) j += n;
    else for (let k = 0; k < n; k++) names.set(a[i++]!.name, b[j++]!.name);
  }
  return (boundary) => names.get(boundary) ?? boundary;
}

function instructions(image: Image): { readonly name: string; readonly text: string }[] {
  return (
    image.sections
      // The functions of an executable are paired by their names alone: there are millions of instructions.
      .filter((s) => s.segment === 'text' && !s.fixed)
      .flatMap((section) =>
        image.instructions(section, section.address, section.address + BigInt(section.size)).map((address) => {
          const text = image.locate(address)?.line?.text ?? '';
          return { name: image.name(address), text: text.trim().replace(/\s+/g, ' ') };
        }),
      )
  );
}

const STYLES: Readonly<Record<Change, Parameters<Paint>[0]>> = {
  fixed: 'green',
  broken: 'red',
  unchanged: 'dim',
  unknown: 'yellow',
};

/** For each setting the two verdicts, and below them what has changed and what has not. */
export function versionDiffText(settings: readonly Setting[], paint: Paint): string {
  const lines = settings.flatMap((setting) => {
    const verdict = (v: Verdict | undefined): string =>
      v === undefined ? 'not there' : paint(v === 'holds' ? 'green' : v === 'fails' ? 'red' : 'yellow', v);
    const head = `${paint('bold', setting.name)}: ${verdict(setting.old)} -> ${verdict(setting.new)}`;
    const groups = new Map<string, Changed[]>();
    for (const changed of setting.changes) {
      const key = `${changed.property} ${changed.change} ${changed.event}`;
      groups.set(key, [...(groups.get(key) ?? []), changed]);
    }
    const width = Math.max(0, ...setting.changes.map((c) => c.property.length));
    const rows = [...groups.values()].map((group) => {
      const { property, change, event } = group[0]!;
      const old = change === 'unchanged' || group[0]!.old !== undefined;
      const at = runs(group.map((c) => (old ? c.old! : c.new!)));
      const now = change === 'unchanged' ? runs(group.map((c) => c.new!)) : at;
      return `  ${property.padEnd(width)}  ${paint(STYLES[change], change.padEnd(9))}  ${event} at ${at}${now === at ? '' : ` (now ${now})`}`;
    });
    return [head, ...rows];
  });
  const all = settings.flatMap((s) => s.changes);
  const total = (change: Change): number => all.filter((c) => c.change === change).length;
  const counts = (['fixed', 'broken', 'unchanged', 'unknown'] as const)
    .filter((change) => change !== 'unknown' || total(change) > 0)
    .map((change) => `${total(change)} ${change}`);
  return `${lines.join('\n')}\n\n${counts.join(', ')}`;
}
