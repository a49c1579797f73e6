/** The memory of the interrupt controllers: their state, and the pages through which software reaches them. */
import { PAGE_SIZE, Perm, type Region } from '../cpu/memory.js';
import { INTERRUPT_PIN } from './interrupt_pin.js';
import { IO_APIC, IO_APIC_PAGE } from './io_apic.js';
import { LOCAL_APIC_ADDRESS, LOCAL_APIC_PAGE, localApic } from './local_apic.js';

const IO_APIC_ADDRESS = 0xfec00000n;
/** Where the state of the 8259A is put; the real one has ports. */
const PIN_ADDRESS = 0xfed00000n;

/** The addresses at which system software maps the xAPIC page and the I/O APIC's page. */
export interface InterruptPages {
  readonly localApic: bigint;
  readonly ioApic: bigint;
}

/** Regions for the interrupt controllers of a machine with so many processors. */
export function interruptRegions(processors: number, pages: InterruptPages): Region[] {
  const state = (name: string, address: bigint): Region => ({
    name,
    address,
    size: PAGE_SIZE,
    perms: 0,
    hidden: true,
  });
  const page = (name: string, address: bigint): Region => ({
    name,
    address,
    size: PAGE_SIZE,
    perms: Perm.WRITE | Perm.DEVICE,
  });
  return [
    ...Array.from({ length: processors }, (_, n) =>
      state(localApic(n), BigInt(LOCAL_APIC_ADDRESS) + BigInt(n * PAGE_SIZE)),
    ),
    state(IO_APIC, IO_APIC_ADDRESS),
    state(INTERRUPT_PIN, PIN_ADDRESS),
    page(LOCAL_APIC_PAGE, pages.localApic),
    page(IO_APIC_PAGE, pages.ioApic),
  ];
}
