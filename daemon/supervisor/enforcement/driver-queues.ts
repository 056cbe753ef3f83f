/**
 * Holds the queues of the uplinks' drivers, by which AF_XDP sockets send past every rule (firewall/xdp-queues.ts
 * says how). What can't be held is said: an audit record at once, a gap record when it is over, and in the state.
 * It never keeps the gateway from starting: the rules stand without it.
 *
 * A device stays held for as long as it exists, though it be down or on a bridge for a while: whoever bound its
 * queue meanwhile would keep it.
 */
import type { OpenQueue, XdpQueues } from '../../../firewall/xdp-queues.ts'
import { messageOf } from '../../base/errors.ts'
import type { Log } from '../log.ts'
import type { Audit, Gap } from './evidence.ts'

export interface OpenDevice {
  readonly device: string
  readonly reason: string
}

export interface DriverQueues {
  /** Holds the queues of these devices too, from now on. */
  hold(devices: readonly string[]): void
  /** Devices by which others may send past the rules. */
  open(): readonly OpenDevice[]
  stop(): void
}

/** The kernel tells nobody of a new queue, or of one that was let go. */
const LOOK_MS = 5000
/** The sockets of a process that ended (the daemon before this one) let go of their queues a moment later. */
const AGAIN_MS = 250

export function driverQueues(options: {
  readonly queues: XdpQueues
  readonly log: Log
  readonly audit: Audit
  readonly gap: Gap
  readonly changed: () => void
}): DriverQueues {
  const { queues, log, audit } = options
  let devices: readonly string[] = []
  /** Since when what is told, or will be once it is seen again. */
  let since: number | undefined
  let told: readonly OpenDevice[] = []

  const over = (now: number) => {
    if (told.length > 0) options.gap('driver-queues', since ?? now, now, { why: text(told) })
  }
  const take = (found: readonly OpenDevice[]) => {
    const now = Date.now()
    if (found.length > 0 && since === undefined) {
      since = now
      again()
      return
    }
    const why = text(found)
    if (why !== text(told)) {
      over(now)
      // A span whose devices change is told in pieces.
      if (told.length > 0) since = now
      told = found
      if (found.length > 0) {
        log.error(`frames can pass the rules by AF_XDP sockets: ${why}`)
        audit('coverage-lost', { cause: 'driver-queues', why })
      }
      options.changed()
    }
    if (found.length === 0) since = undefined
  }
  const look = () => {
    try {
      take(byDevice(queues.hold(devices)))
    } catch (error) {
      take(devices.map((device) => ({ device, reason: messageOf(error) })))
    }
  }
  let timer: NodeJS.Timeout | undefined
  const again = () => {
    timer ??= setTimeout(() => {
      timer = undefined
      look()
    }, AGAIN_MS).unref()
  }
  const looking = setInterval(look, LOOK_MS)
  // A start that fails must not be kept from ending.
  looking.unref()

  return {
    hold(names) {
      devices = [...new Set([...queues.devices(), ...names])].sort()
      look()
    },
    open: () => told,
    stop() {
      clearInterval(looking)
      clearTimeout(timer)
      queues.close()
      over(Date.now())
      told = []
    },
  }
}

const MOST_TEXT = 500
const text = (open: readonly OpenDevice[]) =>
  open
    .map(({ device, reason }) => `${device}: ${reason}`)
    .join('; ')
    .slice(0, MOST_TEXT)

function byDevice(open: readonly OpenQueue[]): OpenDevice[] {
  return [...Map.groupBy(open, ({ device }) => device)].map(([device, queues]) => {
    const taken = queues.filter(({ why }) => why === 'taken').map(({ queue }) => queue)
    const failed = queues.find(({ why }) => why !== 'taken')
    const reasons = [
      ...(taken.length > 0 ? [`another program holds ${spoken(taken)}`] : []),
      ...(failed ? [`the kernel refuses queue ${failed.queue} and later ones (${failed.why})`] : []),
    ]
    return { device, reason: reasons.join(', ') }
  })
}

const MOST_QUEUES = 8

function spoken(queues: readonly number[]): string {
  const shown = queues.slice(0, MOST_QUEUES).join(', ')
  const more = queues.length > MOST_QUEUES ? ` and ${queues.length - MOST_QUEUES} more` : ''
  return `queue${queues.length === 1 ? '' : 's'} ${shown}${more}`
}
