import type { KeptVariable } from '../client-environment.ts'

/**
 * - `set`: the sink holds our current values (but for those that the user keeps)
 * - `absent`: nothing of ours
 * - `stale`: values of ours that are no longer the current ones; `install` mends it
 * - `unsupported`: nothing on this machine would read it; `install` leaves it alone
 */
export interface EnvironmentCheck {
  readonly state: 'set' | 'absent' | 'stale' | 'unsupported'
  readonly kept: readonly KeptVariable[]
}

/** One machine-wide place for variables. Both changes are idempotent; uninstall restores it byte for byte. */
export interface EnvironmentSink {
  /** As the install manifest keeps it. */
  readonly name: string
  /** Whom it gives the variables to, in words. */
  readonly reaches: string
  check(): Promise<EnvironmentCheck>
  install(): Promise<EnvironmentCheck>
  uninstall(): Promise<void>
}

/** Runs a program of the operating system; resolves with its standard output, rejects with its last words. */
export type Tool = (command: string, ...args: string[]) => Promise<string>
