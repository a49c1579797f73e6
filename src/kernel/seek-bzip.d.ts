/** The part of the npm package seek-bzip that is used; it has no types of its own. */
declare module 'seek-bzip' {
  const bunzip: {
    /** Unpacks all of `input` into `output`; throws a TypeError where it is damaged. */
    decode(input: Uint8Array, output: { writeByte(byte: number): void }): void;
  };
  export default bunzip;
}
