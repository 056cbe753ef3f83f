/**
 * What makes the command known to shells and to man(1): completions and the manual page, made from the installed
 * command's own table.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { lstat, readFile, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { writePublicFile } from '../ca/public-file.ts'
import type { DescribedCommand } from '../cli/command-table.ts'
import { completionFor } from '../cli/completion/completion.ts'
import { manualPage } from '../cli/manual/page.ts'
import { makeDirectory, removeFile } from '../daemon/base/durable/files.ts'
import { programRoot, programVersion } from '../daemon/supervisor/program.ts'
import type { ManifestEntry, OpenManifest } from './manifest.ts'
import { run } from './run.ts'

type CommandFileEntry = Extract<ManifestEntry, { kind: 'command-file' }>

export interface CommandFile {
  readonly path: string
  /** What must be there for anybody to read the file. */
  readonly needs?: string
  readonly make: (table: DescribedCommand) => string
}

/** Where the programs of Debian and its like look, outside of what packages own. */
const FILES: readonly CommandFile[] = [
  {
    path: '/usr/local/share/bash-completion/completions/agent-anchor',
    make: (table) => completionFor('bash', table),
  },
  {
    path: '/usr/local/share/zsh/site-functions/_agent-anchor',
    make: (table) => completionFor('zsh', table),
  },
  {
    // fish looks below /usr/local/share only where XDG_DATA_DIRS says so, which a server's doesn't.
    path: '/etc/fish/completions/agent-anchor.fish',
    needs: '/etc/fish',
    make: (table) => completionFor('fish', table),
  },
  {
    path: '/usr/local/share/man/man8/agent-anchor.8',
    make: (table) => manualPage(table, programVersion),
  },
]

/** From a process of its own: the table takes all of the command line's code, which an installer needn't hold. */
export async function installedTable(): Promise<DescribedCommand> {
  const printed = await run(`${programRoot}/cli/agent-anchor`, 'manual', '--json')
  return (JSON.parse(printed) as { readonly program: DescribedCommand }).program
}

/** Leaves files of others alone, also one of ours that somebody has edited. @returns a line for each file */
export async function installCommandFiles(
  manifest: OpenManifest,
  table: DescribedCommand,
  files: readonly CommandFile[] = FILES,
): Promise<string[]> {
  const lines: string[] = []
  for (const { path, needs, make } of files) {
    if (needs !== undefined && !existsSync(needs)) continue
    const text = make(table)
    const there = await digestAt(path)
    if (there !== undefined && !isOurs(manifest, path, there)) {
      lines.push(`${path} is somebody else's: left as it is`)
      continue
    }
    await makeDirectories(manifest, dirname(path))
    await forget(manifest, path, [there, digest(text)])
    await manifest.add({ kind: 'command-file', path, sha256: digest(text) })
    if (there !== digest(text)) await writePublicFile(path, Buffer.from(text), { mode: 0o644 })
    lines.push(path)
  }
  return lines
}

/** Whether the file is still what the entry says. */
export const standsAsMade = async ({ path, sha256 }: CommandFileEntry): Promise<boolean> =>
  (await digestAt(path)) === sha256

export async function removeCommandFile(entry: CommandFileEntry): Promise<void> {
  if (await standsAsMade(entry)) await removeFile(entry.path)
}

/** Removes a directory that was made, unless others have put something into it by now. */
export async function removeMadeDirectory(path: string): Promise<void> {
  await rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTEMPTY' && error.code !== 'ENOTDIR') throw error
  })
}

async function makeDirectories(manifest: OpenManifest, path: string): Promise<void> {
  if (existsSync(path)) return
  await makeDirectories(manifest, dirname(path))
  await manifest.add({ kind: 'directory', path })
  await makeDirectory(path, { mode: 0o755 })
}

/** Drops what former installs wrote, apart from `still`: the version there now comes back where this install fails. */
async function forget(manifest: OpenManifest, path: string, still: readonly unknown[]): Promise<void> {
  const former = manifest.steps.filter(
    (entry) => entry.kind === 'command-file' && entry.path === path && !still.includes(entry.sha256),
  )
  for (const entry of former) await manifest.drop(entry)
}

const digest = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex')

/** Undefined where nothing is there; 'other' for what is no file, such as a link. */
async function digestAt(path: string): Promise<string | 'other' | undefined> {
  const stat = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (stat === undefined) return undefined
  return stat.isFile() ? digest(await readFile(path)) : 'other'
}

const isOurs = ({ steps }: OpenManifest, path: string, sha256: string): boolean =>
  steps.some((entry) => entry.kind === 'command-file' && entry.path === path && entry.sha256 === sha256)
