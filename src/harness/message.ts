/**
 * Interrupt messages: what one part of the system sends to the local APICs, and the writes to 0xFEExxxxx by which devices
 * send them (message-signalled interrupts). SDM vol. 3, 10.11 "Message Signalled Interrupts" and 10.6 for the meaning of
 * the fields.
 */
import type { LocalApic } from './local_apic.js';
import type { Machine } from './machine.js';

/** Delivery modes (SDM vol. 3, figure 10-12); 3 is reserved. */
export const DeliveryMode = {
  FIXED: 0,
  LOWEST_PRIORITY: 1,
  SMI: 2,
  NMI: 4,
  INIT: 5,
  START_UP: 6,
  EXTINT: 7,
} as const;

/** The destination of a message that every local APIC takes. */
export const BROADCAST = 0xffffffff;
/** The same where a destination has 8 bits. */
export const BROADCAST_8 = 0xff;

export interface Message {
  /** An APIC ID or a logical destination, 32 bits; BROADCAST for all. */
  readonly destination: number;
  readonly logical: boolean;
  /** One of DeliveryMode. */
  readonly mode: number;
  /** Of meaning in the modes FIXED, LOWEST_PRIORITY and START_UP. */
  readonly vector: number;
  /** Level-triggered: the EOI of its vector goes to the I/O APIC. */
  readonly level: boolean;
}

/** The address of message-signalled interrupts: bits 31 to 20. */
const MESSAGE_ADDRESS = 0xfee00000;

/** Address bits: the destination ID at 19:12, and whether it is a logical one. */
const Address = { DESTINATION_SHIFT: 12, LOGICAL: 1 << 2 } as const;
/** Data bits: vector at 7:0, delivery mode at 10:8. */
const Data = { MODE_SHIFT: 8, ASSERT: 1 << 14, LEVEL: 1 << 15 } as const;

/** The address that a device writes to for the processor with this 8-bit APIC ID. */
export function messageAddress(destination: number): number {
  return MESSAGE_ADDRESS + destination * (1 << Address.DESTINATION_SHIFT);
}

/**
 * A device writes `data` (32 bits) to the physical address `address`. Nothing happens if that is no message: another
 * address, a reserved delivery mode, or the end of a level-triggered interrupt.
 */
export function writeMessage(machine: Machine, address: number, data: number): void {
  const mode = (data >>> Data.MODE_SHIFT) & 7;
  if ((address & 0xfff00000) >>> 0 !== MESSAGE_ADDRESS || mode === 3 || mode === DeliveryMode.START_UP) return;
  if (data & Data.LEVEL && !(data & Data.ASSERT)) return;
  // The destination mode counts whatever the redirection hint says: processors do it that way, and system software relies
  // on it. Whether the message goes to one of several is said by the delivery mode.
  const logical = (address & Address.LOGICAL) !== 0;
  const destination = (address >>> Address.DESTINATION_SHIFT) & 0xff;
  send(machine, {
    destination: destination === BROADCAST_8 && !logical ? BROADCAST : destination,
    logical,
    mode,
    vector: data & 0xff,
    level: (data & Data.LEVEL) !== 0,
  });
}

/**
 * Hands a message to the local APICs that it is meant for: by its destination among `candidates`. All have it at once:
 * messages take no time.
 */
export function send(machine: Machine, message: Message, candidates: readonly LocalApic[] = machine.apics): void {
  const targets = candidates.filter((apic) => apic.isDestination(message));
  if (message.mode !== DeliveryMode.LOWEST_PRIORITY) {
    for (const apic of targets) apic.receive(message);
    return;
  }
  // Among those that take interrupts at all, the one with the lowest priority; the lowest number decides a tie.
  const able = targets.filter((apic) => apic.accepts);
  const lowest = Math.min(...able.map((apic) => apic.priority));
  able.find((apic) => apic.priority === lowest)?.receive(message);
}
