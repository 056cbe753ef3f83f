/** What sudoers says of env_file, in the JSON of cvtsudoers(1). Pure. */
import { z } from 'zod'

const Sudoers = z.object({
  Defaults: z
    .array(
      z.object({
        Binding: z.array(z.unknown()).optional(),
        Options: z.array(z.record(z.string(), z.unknown())),
      }),
    )
    .default([]),
})

export interface EnvFile {
  /** Undefined where it is switched off (`!env_file`). */
  readonly path: string | undefined
  /** For everybody, not for some users, hosts, commands or targets only. */
  readonly global: boolean
}

/** In the order of their reading. Throws where it isn't such JSON. */
export function envFiles(json: string): EnvFile[] {
  return Sudoers.parse(JSON.parse(json)).Defaults.flatMap(({ Binding, Options }) =>
    Options.flatMap(({ env_file: value }): EnvFile[] => {
      const global = Binding === undefined
      if (typeof value === 'string') return [{ path: value, global }]
      return value === false ? [{ path: undefined, global }] : []
    }),
  )
}

/** The one in force for everybody: the last (sudoers(5)). */
export const globalEnvFile = (files: readonly EnvFile[]): string | undefined =>
  files.findLast(({ global }) => global)?.path
