/**
 * The process of the leak sensor: starts as root with the few capabilities that captures take, opens them, and becomes
 * its own account before it reads a packet. It ends when the supervisor does.
 */
import { networkInterfaces } from 'node:os'
import { type FlowOwner, flowOwner } from '../../firewall/flow-owner.ts'
import { canonicalAddress } from '../../firewall/ip-address.ts'
import { deviceName } from '../../firewall/libc.ts'
import { messageOf } from '../base/errors.ts'
import { type Captures, loadPcap, openCaptures } from './captures.ts'
import { isWithinCgroup } from './cgroup-membership.ts'
import type { Flow } from './flow.ts'
import { type FromSensor, type SensorState, type Start, ToSensor } from './messages.ts'
import { becomeUnprivileged } from './privileges.ts'
import { Sensor } from './sensor.ts'
import { SensorError } from './sensor-error.ts'

const TICK_MS = 250
/** What nobody was woken for, and devices made anew under an old name, wait for so long. */
const READ_MS = 100
const STATE_MS = 1000
/** The machine's own addresses seldom change, and are asked for seldom. */
const ADDRESSES_MS = 5000

const say = (message: FromSensor) => {
  if (process.connected) process.send?.(message)
}

interface Running {
  readonly sensor: Sensor
  readonly captures: Captures
  readonly uplinks: (devices: readonly string[]) => void
  readonly sayState: () => void
}

async function run(start: Start): Promise<Running> {
  const now = Date.now()
  const sensor = new Sensor({
    ...start,
    socketOwner,
    isWithinCgroup,
    isOwnAddress: ownAddresses(),
    isBridge: nameMatcher(start.bridges),
    say,
    now,
  })
  const work = housekeeping(sensor)
  const { refused, answered, left } = guarded(sensor, work.often)
  const captures = await loadPcap().then(
    (pcap) => openCaptures(pcap, start, { refused, answered, left }),
    (error: SensorError) => blindCaptures(start, `${error.message}. ${error.remedy}`),
  )
  try {
    becomeUnprivileged(start.uid, start.gid)
  } catch (error) {
    // At once: one turn of the event loop more and a packet would be read.
    process.stderr.write(`${messageOf(error)}\n`)
    process.exit(1)
  }
  work.begin(captures)
  say({ type: 'ready', devices: captures.devices })
  work.sayState()
  return {
    sensor,
    captures,
    uplinks(devices) {
      captures.uplinks(devices)
      sensor.uplinks(devices)
      work.often()
    },
    sayState: work.sayState,
  }
}

/**
 * A flood keeps node-pcap from ever returning to the event loop, and timers with it: what must be done regularly is
 * done between packets too.
 */
function housekeeping(sensor: Sensor) {
  let captures: Captures | undefined
  let ticked = 0
  let stated = 0
  let last = ''
  let short = false
  const sayState = () => {
    if (!captures) return
    const { received, dropped, blind } = captures.state()
    const state: SensorState = {
      received,
      kernelDrops: dropped + sensor.missing,
      unread: sensor.unread,
      blind,
    }
    const text = JSON.stringify(state)
    if (text === last) return
    last = text
    say({ type: 'state', ...state })
  }
  const often = () => {
    const now = Date.now()
    // Also where the clock was set back.
    if (Math.abs(now - ticked) < TICK_MS) return
    ticked = now
    sensor.tick(now)
    if (captures && captures.short() !== short) {
      short = !short
      if (short) say({ type: 'short' })
    }
    if (Math.abs(now - stated) < STATE_MS) return
    stated = now
    say({ type: 'beat' })
    sayState()
  }
  return {
    often,
    sayState,
    begin(opened: Captures) {
      captures = opened
      setInterval(() => {
        opened.read()
        often()
      }, READ_MS)
    },
  }
}

/** Handlers that nothing escapes from: what a stranger sent must not end the process. */
function guarded(sensor: Sensor, often: () => void) {
  let complained = 0
  const guard =
    <Arguments extends unknown[]>(handle: (now: number, ...args: Arguments) => void) =>
    (...args: Arguments) => {
      const now = Date.now()
      try {
        handle(now, ...args)
      } catch (error) {
        sensor.countUnread()
        if (now - complained > 10_000)
          process.stderr.write(`a packet could not be read: ${messageOf(error)}\n`)
        complained = now
      }
      often()
    }
  return {
    refused: guard((now, bytes: Buffer, group: number) => sensor.refused(bytes, group, now)),
    answered: guard((now, bytes: Buffer, group: number) => sensor.answered(bytes, group, now)),
    left: guard((now, frame: Buffer, device: string) => sensor.left(frame, device, now)),
  }
}

function blindCaptures({ logGroup, dnsLogGroup, uplinks }: Start, reason: string): Captures {
  const groups = dnsLogGroup === undefined ? [logGroup] : [logGroup, dnsLogGroup]
  let devices: readonly string[] = uplinks
  return {
    devices: [],
    uplinks(now) {
      devices = now
    },
    short: () => false,
    read: () => {},
    state: () => ({
      received: 0,
      dropped: 0,
      blind: [...groups.map((group) => `nflog:${group}`), ...devices].map((device) => ({ device, reason })),
    }),
  }
}

/** Where the kernel can't be asked, nobody's word is left but the proxy's. */
function socketOwner({ protocol, family, source, destination }: Flow): FlowOwner | undefined {
  try {
    return flowOwner({ protocol, family, client: source, destination })
  } catch {
    return undefined
  }
}

function ownAddresses(): (address: string) => boolean {
  let known: ReadonlySet<string> = new Set()
  let asked = Number.NEGATIVE_INFINITY
  return (address) => {
    if (performance.now() - asked > ADDRESSES_MS) {
      asked = performance.now()
      const all = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
      known = new Set(all.map((each) => canonicalAddress(each.address)?.address ?? each.address))
    }
    return known.has(address)
  }
}

/** @param patterns names of devices; `br-*` stands for all that begin with `br-` */
function nameMatcher(patterns: readonly string[]): (index: number) => boolean {
  return (index) => {
    const name = deviceName(index)
    if (name === undefined) return false
    return patterns.some((each) => (each.endsWith('*') ? name.startsWith(each.slice(0, -1)) : name === each))
  }
}

let running: Promise<Running> | undefined

function stop({ sensor, sayState }: Running): void {
  sensor.stop(Date.now())
  sayState()
  // What was said must be on its way first.
  if (process.connected) process.send?.({ type: 'beat' } satisfies FromSensor, () => process.exit(0))
  else process.exit(0)
}

process.on('disconnect', () => process.exit(0))
// The supervisor says when to stop; a terminal's signals reach the whole group and are its to answer.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
process.on('message', (raw) => {
  const parsed = ToSensor.safeParse(raw)
  if (!parsed.success) {
    const where = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')
    throw new SensorError(
      'BAD_MESSAGE',
      `a message of unknown shape: ${where}`,
      'Install one version throughout.',
    )
  }
  const message = parsed.data
  if (message.type === 'start') running ??= run(message)
  if (message.type === 'dialled') running?.then(({ sensor }) => sensor.dialled(message.flows, Date.now()))
  if (message.type === 'addresses') running?.then(({ sensor }) => sensor.addresses(message.addresses))
  if (message.type === 'catalogue') running?.then(({ sensor }) => sensor.setCatalogue(message.catalogue))
  if (message.type === 'group')
    running?.then(({ sensor }) => sensor.group(message.question, message.gid, Date.now()))
  if (message.type === 'uplinks') running?.then(({ uplinks }) => uplinks(message.uplinks))
  if (message.type === 'stop') {
    if (running) running.then(stop, () => process.exit(1))
    else process.exit(0)
  }
})
