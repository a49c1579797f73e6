import { InputError } from '../errors.js';

/** The code under test has come to something that the machine does not model: no verdict can be given. */
export class NotModelled extends InputError {
  constructor(
    readonly address: bigint,
    readonly what: string,
  ) {
    super(`0x${address.toString(16)}: ${what}`);
  }
}
