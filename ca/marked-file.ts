/** An environment sink that is a marked block in one file: reading, comparing and writing it. */
import { readFile, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { removeFile } from '../daemon/base/durable.ts'
import { messageOf } from '../daemon/base/errors.ts'
import { CaError } from './ca-error.ts'
import type { EnvironmentCheck, EnvironmentSink, KeptVariable } from './client-environment.ts'
import { joinBlock, splitBlock } from './marked-block.ts'
import { type FileAttributes, writePublicFile } from './public-file.ts'

export interface MarkedFile {
  readonly name: string
  /** Absolute */
  readonly path: string
  /** Prefix of the path */
  readonly root?: string | undefined
  /** Our lines, given what the user has in the file. */
  readonly render: (outside: string) => { lines: readonly string[]; kept: readonly KeptVariable[] }
}

export function markedFileSink(file: MarkedFile): EnvironmentSink {
  const named = join(file.root ?? '/', file.path)

  async function plan() {
    const current = await readCurrent(named)
    const split = splitBlock(file.path, current.text)
    const { lines, kept } = file.render(split.outside ?? '')
    const wanted = joinBlock(split, lines)
    const state = !split.hasBlock ? 'absent' : wanted === current.text ? 'set' : 'stale'
    return { current, wanted, check: { state, kept } satisfies EnvironmentCheck }
  }

  return {
    name: file.name,
    async check() {
      return (await plan()).check
    },
    async install() {
      const { current, wanted, check } = await plan()
      if (check.state !== 'set') await write(current, wanted)
      return { state: 'set', kept: check.kept }
    },
    async uninstall() {
      const current = await readCurrent(named)
      const { outside, hasBlock } = splitBlock(file.path, current.text)
      if (!hasBlock) return
      if (outside === undefined) await removeFile(current.path)
      else await write(current, outside)
    },
  }
}

interface Current {
  /** Where the file really is: a link to it stays a link. */
  readonly path: string
  readonly text: string | undefined
  readonly attributes: FileAttributes
}

async function readCurrent(named: string): Promise<Current> {
  try {
    const path = await realpath(named)
    const { mode, uid, gid } = await stat(path)
    return { path, text: await readFile(path, 'latin1'), attributes: { mode: mode & 0o7777, uid, gid } }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return { path: named, text: undefined, attributes: { mode: 0o644 } }
    }
    throw new CaError(
      'environment-file-unreadable',
      `${named} can't be read: ${messageOf(error)}`,
      'Run this as root, and make sure that the path is a file.',
      error,
    )
  }
}

function write(current: Current, text: string): Promise<void> {
  return writePublicFile(current.path, Buffer.from(text, 'latin1'), current.attributes)
}
