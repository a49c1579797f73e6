/** Data breakpoints: on memory, and on the value of anything that has a name. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { z } from 'zod';
import { InputError } from '../../errors.js';
import { hex } from '../../properties/describe.js';
import type { WatchRange } from '../stops.js';
import type { Adapter } from './adapter.js';
import type { Wish } from './breakpoints.js';
import type { Place } from './variables.js';

const watched = z.union([
  z.strictObject({ address: z.string().regex(/^0x[0-9a-f]{1,16}$/), length: z.int().min(1).max(4096) }),
  z.strictObject({ value: z.string() }),
]);

/** What the client gives back to us later, as JSON: an id. */
type Watched = z.infer<typeof watched>;

interface Info {
  readonly variablesReference?: number | undefined;
  readonly name: string;
  readonly asAddress: boolean;
  readonly bytes?: number | undefined;
}

export function dataBreakpointInfo(adapter: Adapter, info: Info): DebugProtocol.DataBreakpointInfoResponse['body'] {
  let what: Watched;
  try {
    what = watchedBy(adapter, info);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { dataId: null, description: error.message };
  }
  const dataId = JSON.stringify(what);
  if ('value' in what) return { dataId, description: `the value of ${what.value}`, accessTypes: ['write'] };
  const { address, length } = what;
  return { dataId, description: `${length} bytes at ${address}`, accessTypes: ['write', 'read', 'readWrite'] };
}

function watchedBy(adapter: Adapter, { variablesReference, name, asAddress, bytes = 8 }: Info): Watched {
  if (asAddress) return { address: hex(adapter.address(name)), length: bytes };
  if (!variablesReference) return { value: name };
  const place: Place = adapter.variables.place(variablesReference, name);
  if (place.kind === 'word') return { address: hex(place.address), length: bytes };
  return { value: place.name };
}

const KINDS: Readonly<Record<'read' | 'write' | 'readWrite', WatchRange['kind']>> = {
  read: 'read',
  write: 'write',
  readWrite: 'access',
};

export interface AskedData {
  readonly dataId: string;
  readonly accessType: 'read' | 'write' | 'readWrite';
  readonly condition?: string | undefined;
  readonly hitCondition?: string | undefined;
}

export function dataWish({ target }: Adapter, asked: AskedData): Wish {
  const { dataId, accessType, hitCondition } = asked;
  const condition = asked.condition?.trim() || undefined;
  return {
    key: JSON.stringify([dataId, accessType, condition, hitCondition]),
    shown: {},
    add: () => {
      if (hitCondition?.trim()) throw new InputError('a data breakpoint has no hit count; give a condition');
      const what = parsed(dataId);
      if ('value' in what) return [target.addChangeWatchpoint(what.value, condition)];
      const range = { kind: KINDS[accessType], address: BigInt(what.address), length: what.length };
      return [target.addWatchpoint(range, condition)];
    },
  };
}

function parsed(dataId: string): Watched {
  try {
    return watched.parse(JSON.parse(dataId));
  } catch {
    throw new InputError(`data '${dataId.slice(0, 100)}': is none that dataBreakpointInfo has named`);
  }
}
