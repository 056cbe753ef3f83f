/** What a command is: one file each, gathered in main.ts. */
import type { Command } from 'commander'
import type { ExitCode } from './exit-code.ts'
import { printableJson } from './terminal.ts'

export interface GlobalOptions {
  /** Path of gateway.yaml; the default file where absent. */
  readonly config?: string
  readonly json: boolean
  /** Descriptors from which the vault's passphrase and PIN are read, as given. */
  readonly passphraseFd?: string
  readonly pinFd?: string
}

/** Version of every `--json` document; raised when a field changes its meaning or goes away. */
export const SCHEMA_VERSION = 1

/** Adds itself to the program, or to the command that it is a part of; its action answers with the exit code. */
export type Register = (
  program: Command,
  act: (
    action: (options: GlobalOptions, ...args: string[]) => Promise<ExitCode>,
  ) => (...args: unknown[]) => Promise<void>,
) => void

/** stdout is for data. */
export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
}

/** One JSON document with its schemaVersion; bigints as decimal strings. */
export function printJson(document: object): void {
  const text = JSON.stringify({ schemaVersion: SCHEMA_VERSION, ...document }, (_, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  )
  print(printableJson(text))
}
