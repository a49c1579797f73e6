/** Memory and instructions at an address. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { PAGE_SIZE } from '../../cpu/memory.js';
import { InputError } from '../../errors.js';
import type { Image } from '../../image/image.js';
import { hex } from '../../properties/describe.js';
import type { Debugger } from '../debugger.js';
import type { InstructionView } from '../view.js';
import type { Adapter, Client } from './adapter.js';
import type { Sources } from './sources.js';

/** Bytes that one request may read. */
export const MAX_READ = 1 << 20;
/** Instructions that one request may ask for. */
export const MAX_INSTRUCTIONS = 10_000;

/** The address that `0x…`, a number or `label+n` means, and `offset` bytes behind it. */
export function addressOf(image: Image, reference: string, offset = 0): bigint {
  const text = reference.trim();
  const address = /^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(text) ? BigInt(text) : image.resolve(text);
  if (address === undefined || address >> 64n !== 0n) {
    throw new InputError(`${reference}: is no address; expected 0x…, a number below 2^64, or label+n`);
  }
  return BigInt.asUintN(64, address + BigInt(offset));
}

/** What can be read from an address on, up to the first page that is not mapped; then how far it is to the next one that is. */
export function readMemory(target: Debugger, address: bigint, count: number): DebugProtocol.ReadMemoryResponse['body'] {
  const parts: Uint8Array[] = [];
  let unreadableBytes = 0;
  for (let at = 0; at < count; ) {
    const from = BigInt.asUintN(64, address + BigInt(at));
    const length = Math.min(count - at, PAGE_SIZE - Number(from % BigInt(PAGE_SIZE)));
    const bytes = target.readMemory(from, length);
    if (bytes === undefined) unreadableBytes += length;
    else if (unreadableBytes > 0) break;
    else parts.push(bytes);
    at += length;
  }
  return { address: hex(address), unreadableBytes, data: Buffer.concat(parts).toString('base64') };
}

/** Exactly `count` instructions, of which the first is `first` behind (or before) the one at the address. */
export function disassembled(
  { target, sources, client }: Adapter,
  address: bigint,
  first: number,
  count: number,
): DebugProtocol.DisassembledInstruction[] {
  const around = Math.max(Math.abs(first), Math.abs(first + count)) + 1;
  const known = target.view({ at: hex(address), around }).disassembly;
  const base = known.findIndex((instruction) => BigInt(instruction.address) >= address);
  return Array.from({ length: count }, (_, i) => {
    const found = base < 0 ? undefined : known[base + first + i];
    return found
      ? shown(found, sources, client)
      : { address: filler(known, address, first + i), instruction: '??', presentationHint: 'invalid' };
  });
}

/** An address for what is no instruction: each its own, in their order. */
function filler(known: readonly InstructionView[], address: bigint, i: number): string {
  if (known.length === 0) return hex(address + BigInt(i));
  const end = i < 0 ? known[0]! : known.at(-1)!;
  return hex(BigInt(end.address) + BigInt(i));
}

function shown(
  { address, bytes, text, label }: InstructionView,
  sources: Sources,
  client: Client,
): DebugProtocol.DisassembledInstruction {
  const place = sources.place(BigInt(address));
  return {
    address,
    instructionBytes: bytes,
    instruction: text,
    ...(label === undefined ? {} : { symbol: label }),
    ...(place ? { location: place.source, line: client.lineTo(place.line) } : {}),
  };
}
