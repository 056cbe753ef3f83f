/** A finaliser on real files: a journal with exchanges, a disk that fails when told to, and what fsck says. */
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { type FileSystem, type OpenFile, realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { checkLedger } from '../../daemon/ledger/fsck.ts'
import { checkRecorder } from '../../daemon/recorder/fsck.ts'
import { type Batch, Journal } from '../../daemon/recorder/intake/journal.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import {
  COMPLETE,
  openPayload,
  REQUEST_HEAD,
  RESPONSE_BODY,
  RESPONSE_HEAD,
  requestBody,
  startMessage,
  temporaryDirectory,
} from './recorder-fixtures.ts'

/** The real file system whose calls fail in turn: number `at` fails once, or all from `at` to `to`. */
export function faulty() {
  const state = { calls: 0, at: Number.POSITIVE_INFINITY, to: Number.POSITIVE_INFINITY, hits: [] as string[] }
  const call = async <T>(what: string, run: () => Promise<T>): Promise<T> => {
    const n = state.calls++
    if (n >= state.at && n <= state.to) {
      state.hits.push(what)
      const code = what.includes('sync') ? 'EIO' : 'ENOSPC'
      throw Object.assign(new Error(`${code}: injected into ${what}`), { code })
    }
    return run()
  }
  const fs: FileSystem = {
    ...realFileSystem,
    rename: (from, to) => call('rename', () => realFileSystem.rename(from, to)),
    unlink: (file) => call('unlink', () => realFileSystem.unlink(file)),
    open: (file, flags, mode) =>
      call('open', async () => {
        const real = await realFileSystem.open(file, flags, mode)
        const wrapped: OpenFile = {
          fd: real.fd,
          writev: (buffers, position) => call('writev', () => real.writev(buffers, position)),
          sync: () => call('sync', () => real.sync()),
          datasync: () => call('datasync', () => real.datasync()),
          truncate: (length) => call('truncate', () => real.truncate(length)),
          stat: () => real.stat(),
          close: () => real.close(),
        }
        return wrapped
      }),
  }
  return { fs, state }
}

/**
 * @param bodyOf the request's body of each exchange
 * @param timeOf when each began
 */
export async function journalled(
  count: number,
  over: Partial<ReturnType<typeof openPayload>> = {},
  bodyOf: (i: number) => Buffer = (i) => requestBody(`message ${i} `.repeat(200)),
  timeOf: (i: number) => number = () => Date.now(),
) {
  const start = startMessage(temporaryDirectory())
  mkdirSync(start.stateDir)
  const journal = path.join(start.stateDir, 'journal')
  const writer = await Journal.open({ dir: journal, bodyKey: start.bodyKey, fs: realFileSystem }, [])
  const json = (value: object) => Buffer.from(JSON.stringify(value))
  const batch: Batch[] = Array.from({ length: count }, (_, i) => {
    const open = openPayload(over)
    const frames = [
      [FrameType.Open, json(open)],
      [FrameType.RequestHead, REQUEST_HEAD],
      [FrameType.RequestBody, bodyOf(i)],
      [FrameType.RequestEnd, json({})],
      [FrameType.ResponseHead, Buffer.from('HTTP/1.1 100 Continue\r\n\r\n')],
      [FrameType.ResponseHead, RESPONSE_HEAD],
      [FrameType.ResponseBody, RESPONSE_BODY],
      [FrameType.End, json({ ...COMPLETE, trailers: 'x-sum: 1\r\n' })],
    ] as const
    const time = timeOf(i)
    return {
      id: open.id,
      ranges: [],
      frames: frames.map(([type, payload], k) => ({ type, payload, time: time + k })),
    }
  })
  await writer.write(batch, true)
  await writer.close()
  const requests = batch.map(({ id, ranges }) => ({ id, ranges }))
  const { bodyKey, logKey, origin, verifierKey } = start
  const options = {
    dir: start.stateDir,
    journal,
    bodyKey,
    logKey,
    origin,
    verifierKey,
    checkpointIntervalMs: 20,
  }
  return { start, requests, options }
}

export function listen() {
  const done: string[] = []
  const lines: string[] = []
  let wake = () => {}
  const events = {
    done: (ids: string[]) => {
      done.push(...ids)
      wake()
    },
    checkpoint: () => {},
    log: (line: string) => lines.push(line),
  }
  const until = async (count: number) => {
    while (done.length < count) await new Promise<void>((resolve) => (wake = resolve))
  }
  return { done, lines, events, until }
}

export async function damage(start: { stateDir: string; bodyKey: Buffer; verifierKey: string }) {
  const found: string[] = []
  for await (const { file, what } of checkRecorder(start.stateDir, start.bodyKey)) {
    // The journal is this test's own and stays.
    if (!file.startsWith('journal/')) found.push(`${file}: ${what}`)
  }
  for await (const { file, what } of checkLedger(path.join(start.stateDir, 'ledger'), start.verifierKey)) {
    found.push(`${file}: ${what}`)
  }
  return found
}

/** Runs it for each number below `count`, four at a time: it waits for the disk more than it works. */
export async function forEach(count: number, run: (i: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < count) await run(next++)
  }
  await Promise.all([worker(), worker(), worker(), worker()])
}
