/**
 * A lane's alarm: the chain contradicts the ledger. It is a file of its own, so that neither a damaged `anchors.json`
 * nor a restart takes it away: that the file is there is the alarm, whatever it holds. Only an administrator removes
 * it (docs/operating.md).
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../base/durable/files.ts'
import { formatSummed, parseSummed } from '../base/summed-json.ts'

const Document = z.object({ v: z.literal(1), title: z.string().max(1000), since: z.string().max(40) })

export interface Alarm {
  readonly title: string
  /** RFC 3339; absent where the file can't be read. */
  readonly since?: string
}

export interface AlarmFile {
  readonly path: string
  readonly alarm: Alarm | undefined
  /** Stands from now on, in memory in any case; durable once it resolves. The first one stays. */
  raise(title: string, since: string): Promise<void>
}

const SUFFIX = '.alarm.json'

/** @throws where the file is there and can't even be looked at: a lane that can't know of its alarm must not run */
export async function openAlarm(directory: string, name: string): Promise<AlarmFile> {
  const path = join(directory, name + SUFFIX)
  let alarm = await readAlarm(path)
  let durable = true
  return {
    path,
    get alarm() {
      return alarm
    },
    async raise(title, since) {
      if (alarm && durable) return
      alarm ??= { title, since }
      durable = false
      await writeFileAtomic(path, formatSummed({ v: 1, ...alarm }))
      durable = true
    },
  }
}

async function readAlarm(path: string): Promise<Alarm | undefined> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (bytes === undefined) return undefined
  return parse(bytes) ?? { title: `an alarm was raised, and its file ${path} is damaged` }
}

/** Names of the alarm files in a chain-writer's directory that are not what was written. Reads only. */
export async function damagedAlarms(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const damaged: string[] = []
  for (const name of names.filter((name) => name.endsWith(SUFFIX))) {
    if (!parse(await readFile(join(directory, name)))) damaged.push(name)
  }
  return damaged
}

function parse(bytes: Buffer): z.infer<typeof Document> | undefined {
  try {
    return Document.parse(parseSummed(bytes))
  } catch {
    return undefined
  }
}
