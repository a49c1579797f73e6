export type Broken = (machine: unknown) => void;
