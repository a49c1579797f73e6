/** The part of the npm package seek-bzip that is used; it has no types of its own. */
declare module 'seek-bzip' {
  class Stream {
    read(buffer: Uint8Array, offset: number, length: number): number;
  }
  const bunzip: {
    Stream: typeof Stream;
    /** Unpacks all of `input` into `output`; throws a TypeError where it is damaged. */
    decode(input: Stream & { readByte(): number }, output: { writeByte(byte: number): void }): void;
  };
  export default bunzip;
}
