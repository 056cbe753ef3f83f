/** An environment sink that is a marked block in one file: reading, comparing and writing it. */
import { existsSync } from 'node:fs'
import { chmod, mkdir, readFile, realpath, rmdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { removeFile, syncDirectory } from '../../daemon/base/durable/files.ts'
import { messageOf } from '../../daemon/base/errors.ts'
import { CaError } from '../ca-error.ts'
import type { KeptVariable } from '../client-environment.ts'
import { type FileAttributes, writePublicFile } from '../public-file.ts'
import type { EnvironmentCheck, EnvironmentSink } from './environment-sink.ts'
import { joinBlock, type Split, splitBlock } from './marked-block.ts'

/** Our lines, and what the user has that stays. */
export interface Rendered {
  readonly lines: readonly string[]
  readonly kept: readonly KeptVariable[]
}

export interface MarkedFile {
  readonly name: string
  readonly reaches: string
  /** Absolute */
  readonly path: string
  /** Prefix of the path */
  readonly root?: string | undefined
  /** Permission bits of the file where it is made. Default 0o644. */
  readonly mode?: number
  /** What must be there (absolute, under `root`) for anybody to read the file. */
  readonly needs?: string
  /** Given what the user has in the file. */
  readonly render: (outside: string) => Rendered | Promise<Rendered>
  /** Last look at the whole text before it is put in place; throws where it must not be. */
  readonly examine?: (text: string) => Promise<void>
  /** Tells whoever has read the file to read it again. */
  readonly announce?: () => Promise<unknown>
}

export function markedFileSink(file: MarkedFile): EnvironmentSink {
  const root = file.root ?? '/'
  const named = join(root, file.path)

  async function plan() {
    const current = await readCurrent(named, file.mode ?? 0o644)
    const split = splitBlock(file.path, current.text)
    if (!split.hasBlock && file.needs !== undefined && !existsSync(join(root, file.needs))) {
      return { current, check: { state: 'unsupported', kept: [] } satisfies EnvironmentCheck }
    }
    const { lines, kept } = await file.render(split.outside ?? '')
    const directories = current.text === undefined ? missingAbove(named) : split.directories
    const wanted = joinBlock({ ...split, directories }, lines)
    const state = !split.hasBlock ? 'absent' : wanted === current.text ? 'set' : 'stale'
    return { current, wanted, check: { state, kept } satisfies EnvironmentCheck }
  }

  return {
    name: file.name,
    reaches: file.reaches,
    async check() {
      return (await plan()).check
    },
    async install() {
      const { current, wanted, check } = await plan()
      if (wanted === undefined) return check
      if (check.state !== 'set') {
        await file.examine?.(wanted)
        await makeAbove(current.path)
        await write(current, wanted)
        await file.announce?.()
      }
      return { state: 'set', kept: check.kept }
    },
    async uninstall() {
      const current = await readCurrent(named, 0o644)
      const split = splitBlock(file.path, current.text)
      if (!split.hasBlock) return
      if (split.outside === undefined) await removeMade(current.path, split)
      else await write(current, split.outside)
      await file.announce?.()
    },
  }
}

interface Current {
  /** Where the file really is: a link to it stays a link. */
  readonly path: string
  readonly text: string | undefined
  readonly attributes: FileAttributes
}

async function readCurrent(named: string, newMode: number): Promise<Current> {
  try {
    const path = await realpath(named)
    const { mode, uid, gid } = await stat(path)
    return { path, text: await readFile(path, 'latin1'), attributes: { mode: mode & 0o7777, uid, gid } }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return { path: named, text: undefined, attributes: { mode: newMode } }
    }
    throw new CaError(
      'environment-file-unreadable',
      `${named} can't be read: ${messageOf(error)}`,
      'Run this as root, and make sure that the path is a file.',
      error,
    )
  }
}

/** How many directories above a path are not there. */
function missingAbove(path: string): number {
  const directory = dirname(path)
  return existsSync(directory) ? 0 : 1 + missingAbove(directory)
}

/** Makes the directories above a path that are missing, for everybody to read whatever the umask. */
async function makeAbove(path: string): Promise<void> {
  const directory = dirname(path)
  if (existsSync(directory)) return
  await makeAbove(directory)
  await mkdir(directory)
  await chmod(directory, 0o755)
}

/** The file, and of the directories made for it those that nobody else uses by now. */
async function removeMade(path: string, { directories }: Split): Promise<void> {
  await removeFile(path)
  let directory = dirname(path)
  for (let left = directories; left > 0; left--) {
    const removed = await rmdir(directory).then(
      () => true,
      () => false,
    )
    if (!removed) return
    directory = dirname(directory)
    await syncDirectory(directory)
  }
}

function write(current: Current, text: string): Promise<void> {
  return writePublicFile(current.path, Buffer.from(text, 'latin1'), current.attributes)
}
