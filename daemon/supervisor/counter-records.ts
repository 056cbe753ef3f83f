/**
 * What the kernel counted, committed to the log: refusals are told one by one as far as the sensor sees them, and
 * these totals, which nothing can make the kernel lose, say how many there were.
 */
import type { NamedCounter } from '../../firewall/nft.ts'
import { messageOf } from '../base/errors.ts'
import type { Log } from './log.ts'

export interface CounterRecords {
  /** Something was refused just now: look soon. */
  nudge(): void
  /** The last look. */
  stop(): Promise<void>
}

export interface CounterRecordsOptions {
  readonly read: () => Promise<Record<string, NamedCounter>>
  /** Packets that the kernel could not hand to the sensor, since its start. */
  readonly sensorDrops: () => number
  /** What the sensor could not read, since its start: cut short, or too much at once. */
  readonly sensorUnread: () => number
  readonly audit: (event: string, detail: Record<string, number>) => void
  readonly log: Log
  readonly everyMs?: number
}

const EVERY_MS = 5000
/** A burst is one look. Below the time within which a checkpoint follows a leaf, so that it is under the same one. */
const SOON_MS = 500
/** Counts of what is captured move with every connection, and each of those has records of its own. */
const CAPTURED = /^redirected/

export function counterRecords(options: CounterRecordsOptions): CounterRecords {
  let last = ''
  let soon: NodeJS.Timeout | undefined
  let looking: Promise<void> = Promise.resolve()
  const look = async () => {
    const counters = await options.read()
    const packets = Object.entries(counters)
      .filter(([name, counter]) => counter.packets > 0 && !CAPTURED.test(name))
      .map(([name, counter]): [string, number] => [name, counter.packets])
      .sort(([a], [b]) => (a < b ? -1 : 1))
    const sensor = [
      ['sensor_drops', options.sensorDrops()],
      ['sensor_unread', options.sensorUnread()],
    ] as const
    const detail = Object.fromEntries([...packets, ...sensor.filter(([, number]) => number > 0)])
    const text = JSON.stringify(detail)
    if (text === last || text === '{}') return
    last = text
    options.audit('kernel-counters', detail)
  }
  const inTurn = () => {
    looking = looking.then(look).catch((error: unknown) => {
      options.log.error(`the kernel's counters could not be read: ${messageOf(error)}`)
    })
    return looking
  }
  const timer = setInterval(() => void inTurn(), options.everyMs ?? EVERY_MS)
  timer.unref()
  return {
    nudge() {
      soon ??= setTimeout(() => {
        soon = undefined
        void inTurn()
      }, SOON_MS)
      soon.unref()
    },
    async stop() {
      clearInterval(timer)
      clearTimeout(soon)
      await inTurn()
    },
  }
}
