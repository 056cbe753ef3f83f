/** An intake with its journal, and a disk that fails. */
import { readdirSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { type FileSystem, type OpenFile, realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { Connection } from '../../daemon/recorder/intake/connection.ts'
import { type FinaliseRequest, Intake } from '../../daemon/recorder/intake/intake.ts'
import { Journal, OPEN_MARK } from '../../daemon/recorder/intake/journal.ts'
import { decodeFrames } from '../../daemon/recorder/intake/journal-entry.ts'
import type { LostSpan } from '../../daemon/recorder/intake/room.ts'
import { FrameReader, FrameType } from '../../daemon/recorder/protocol.ts'
import { SealedReader } from '../../daemon/recorder/sealed/sealed-reader.ts'
import { frame, openPayload, REQUEST_HEAD, requestBody } from './recorder-fixtures.ts'

export const bodyKey = Buffer.alloc(32, 3)

/** The real file system, counting syncs, with a disk that can be full. */
export function disk() {
  const state = { syncs: 0, writes: 0, full: false, failSync: false }
  const fault = (code: string) => Object.assign(new Error(`${code}: injected`), { code })
  const fs: FileSystem = {
    ...realFileSystem,
    async open(file, flags, mode) {
      const real = await realFileSystem.open(file, flags, mode)
      const wrapped: OpenFile = {
        fd: real.fd,
        async writev(buffers, position) {
          state.writes++
          if (state.full) {
            // A full disk takes what still fits.
            await real.writev([Buffer.from(buffers[0]!).subarray(0, 5)], position)
            throw fault('ENOSPC')
          }
          return real.writev(buffers, position)
        },
        sync: () => real.sync(),
        async datasync() {
          state.syncs++
          if (state.failSync) throw fault('EIO')
          await real.datasync()
        },
        truncate: (length) => real.truncate(length),
        stat: () => real.stat(),
        close: () => real.close(),
      }
      return wrapped
    },
  }
  return { fs, state }
}

const journals: Journal[] = []
t.teardown(() => Promise.all(journals.map((journal) => journal.close())))

export async function intakeOn(dir: string, fs: FileSystem) {
  const journal = await Journal.open({ dir, bodyKey, fs }, [])
  journals.push(journal)
  const finalised: FinaliseRequest[] = []
  const lost: LostSpan[] = []
  const pauses: boolean[] = []
  const held: string[] = []
  const intake = new Intake(journal, {
    finalise: (request) => finalised.push(request),
    lost: (span) => lost.push(span),
    held: (id, _peer, exchange) => held.push(`${id} ${exchange}`),
    gone: () => held.push('gone'),
    pause: (paused) => pauses.push(paused),
  })
  const replies: { type: FrameType; exchange: number; payload: Buffer }[] = []
  const connection = new Connection(intake, {
    reply: (type, exchange, payload) => replies.push({ type, exchange, payload }),
  })
  const say = (...frames: Buffer[]) => {
    for (const one of new FrameReader().push(Buffer.concat(frames))) connection.frame(one)
  }
  return { journal, intake, connection, finalised, lost, pauses, held, replies, say }
}

export const request = (exchange: number, id: string, body = 'hi') => [
  frame(FrameType.Open, exchange, openPayload({ id })),
  frame(FrameType.RequestHead, exchange, REQUEST_HEAD),
  frame(FrameType.RequestBody, exchange, requestBody(body)),
  frame(FrameType.RequestEnd, exchange),
]
export const newId = () => openPayload().id

export const segments = (dir: string) => readdirSync(dir).filter((name) => name !== OPEN_MARK)

export function framesIn(dir: string): { id: string; types: number[] }[] {
  const found: { id: string; types: number[] }[] = []
  for (const name of segments(dir)) {
    const reader = new SealedReader(path.join(dir, name), bodyKey, 'journal', Number.parseInt(name, 10))
    for (const entry of reader.scan()) {
      if (!('plain' in entry)) throw new Error(entry.damage)
      const { id, frames } = decodeFrames(entry.plain)
      found.push({ id, types: frames.map(({ type }) => type) })
    }
    reader.close()
  }
  return found
}
