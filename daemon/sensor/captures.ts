/**
 * The captures, by the npm package `pcap`: opened as root, read by whoever the process is then. One that can't be
 * opened is blind, and says so; it never takes the others down.
 *
 * Those of uplinks are opened on pcap's device `any`, whose frames have the same short header whatever the device, and
 * bound to one device each, which can be done again later without any privilege (uplink-pool.ts).
 *
 * What node-pcap does, read in its source and measured: it hands over every packet in the same buffer; it reads until
 * nothing is left without returning to the event loop; a device that is deleted ends in silence, without an error; after
 * an error on its socket, such as a link that went down for a moment, it is never woken again, because libuv stops
 * polling: so it is asked to read from time to time.
 */
import { endianness } from 'node:os'
import type { PacketWithHeader, PcapSession } from 'pcap'
import { deviceIndex } from '../../firewall/libc.ts'
import { messageOf } from '../base/errors.ts'
import { keepingDefaultLogger } from './default-logger.ts'
import { configureLog, type LogSettings } from './kernel-log.ts'
import type { Blindness } from './messages.ts'
import { AF_NETLINK, AF_PACKET, withNewSocket } from './new-socket.ts'
import { keepOutgoingOnly } from './outgoing-only.ts'
import { bindPacketSocket, parkPacketSocket } from './packet-binding.ts'
import { SensorError } from './sensor-error.ts'
import { uplinkFilter } from './uplink-filter.ts'
import { type Movable, UplinkPool } from './uplink-pool.ts'

type Pcap = typeof import('pcap')

/** The part of node-pcap's session that its types don't tell. */
interface Internals {
  readonly session: { dispatch(buffer: Buffer, header: Buffer): number }
  readonly buf: Buffer
  readonly header: Buffer
}

export interface Captures {
  /** Names of what is captured: devices, `nflog:<group>`. */
  readonly devices: readonly string[]
  /** Watches these uplinks from now on, and no others. */
  uplinks(devices: readonly string[]): void
  /** An uplink isn't watched that would be, were more captures open. */
  short(): boolean
  /** Reads what nobody was woken for, and looks for other devices under the same names; to be called several times a second. */
  read(): void
  state(): { received: number; dropped: number; blind: Blindness[] }
}

export interface Handlers {
  readonly refused: (bytes: Buffer, group: number) => void
  readonly answered: (bytes: Buffer, group: number) => void
  readonly left: (frame: Buffer, device: string) => void
}

export interface Wanted {
  readonly logGroup: number
  readonly dnsLogGroup?: number | undefined
  readonly uplinks: readonly string[]
}

interface Capture {
  readonly session: PcapSession
  received: number
}

interface UplinkCapture extends Capture, Movable {}

/** Whole ClientHellos, also where the kernel shows what the network card is yet to cut up. */
const UPLINK_SNAPSHOT = 20_000
const UPLINK_BUFFER = 4 << 20
/** For uplinks that appear: tunnels, a second card, a radio. More of them cost a new start of the sensor. */
const SPARES = 8
const SPARE_BUFFER = 2 << 20
/** By then the first block of a capture's buffer has been read, whatever clocks do. */
const OPENING_MS = 1000
/** How long a packet may lie in the kernel's buffer until somebody is woken: fewer wake-ups for more packets. */
const UPLINK_WAIT_MS = 20
/** libpcap reads into a buffer of this size: the largest packet below, and what the kernel writes around it. */
const LOG_SNAPSHOT = 20_000
const LOG_BUFFER = 4 << 20
/** Refused packets may come a little later and many at once; a DNS answer must be learned before its asker connects. */
const REFUSED: LogSettings = { copyBytes: 2048, gather: 32, waitCentiseconds: 5, bufferBytes: LOG_BUFFER }
const ANSWERS: LogSettings = { copyBytes: 16_384, gather: 1, waitCentiseconds: 1, bufferBytes: LOG_BUFFER }
const NATIVE = endianness() === 'LE' ? 'readUInt32LE' : 'readUInt32BE'

/** @throws SensorError PCAP_MISSING */
export async function loadPcap(): Promise<Pcap> {
  try {
    const { default: pcap } = await import('pcap')
    // It warns of each device without an IPv4 address, which means nothing here.
    pcap.warningHandler = () => {}
    return pcap
  } catch (error) {
    throw new SensorError(
      'PCAP_MISSING',
      `the npm package pcap does not load: ${messageOf(error).split('\n')[0]}`,
      'Install g++, make, python3 and libpcap-dev, and run installers/install.sh again.',
      error,
    )
  }
}

/** Opens all that is wanted, as far as it can be opened. Synchronous: no packet is read before the caller returns. */
export function openCaptures(pcap: Pcap, wanted: Wanted, handlers: Handlers): Captures {
  const groups = new Map<string, Capture>()
  const failed: Blindness[] = []
  const group = (number: number, settings: LogSettings, handle: (bytes: Buffer, group: number) => void) => {
    const device = `nflog:${number}`
    try {
      groups.set(device, openGroup(pcap, number, settings, handle))
    } catch (error) {
      failed.push({ device, reason: messageOf(error) })
    }
  }
  group(wanted.logGroup, REFUSED, handlers.refused)
  if (wanted.dnsLogGroup !== undefined) group(wanted.dnsLogGroup, ANSWERS, handlers.answered)

  const pool = new UplinkPool<UplinkCapture>(deviceIndex)
  const handle = (frame: Buffer, capture: UplinkCapture) => {
    const device = pool.deviceOf(capture)
    if (device !== undefined) handlers.left(frame, device)
  }
  const captures: UplinkCapture[] = []
  let problem: string | undefined
  const open = (number: number, bufferBytes: number) => {
    try {
      for (let opened = 0; opened < number; opened += 1) {
        const capture = openUplink(pcap, bufferBytes, handle)
        captures.push(capture)
        pool.add(capture)
      }
    } catch (error) {
      problem = messageOf(error)
    }
  }
  // Each takes some ten milliseconds: first those that something goes by already.
  open(wanted.uplinks.length, UPLINK_BUFFER)
  pool.want(wanted.uplinks, performance.now())
  if (problem === undefined) open(SPARES, SPARE_BUFFER)

  return {
    devices: [...groups.keys(), ...pool.devices],
    uplinks: (devices) => pool.want(devices, performance.now()),
    // Where opening them failed, more would fail too.
    short: () => pool.short && problem === undefined,
    read() {
      for (const { session } of [...groups.values(), ...pool.inUse(performance.now())]) {
        const { session: binding, buf, header } = session as unknown as Internals
        binding.dispatch(buf, header)
      }
      pool.look(performance.now())
    },
    state() {
      let dropped = 0
      // Of a group's losses pcap knows the occasions only: numbers in the packets tell how many (see sensor.ts).
      for (const { session } of captures) {
        const { ps_drop, ps_ifdrop } = session.stats()
        dropped += ps_drop + ps_ifdrop
      }
      const blind = pool.blind(performance.now())
      return {
        received: [...groups.values(), ...captures].reduce((sum, { received }) => sum + received, 0),
        dropped,
        blind: [
          ...failed,
          ...blind.map((each) => (problem === undefined ? each : { ...each, reason: problem })),
        ],
      }
    },
  }
}

function openGroup(
  pcap: Pcap,
  group: number,
  settings: LogSettings,
  handle: (bytes: Buffer, group: number) => void,
): Capture {
  const device = `nflog:${group}`
  const { opened: session, fd } = keepingDefaultLogger(() =>
    withNewSocket(AF_NETLINK, () =>
      pcap.createSession(device, {
        snap_length: LOG_SNAPSHOT,
        buffer_size: LOG_BUFFER,
        buffer_timeout: 0,
        promiscuous: false,
      }),
    ),
  )
  configureLog(fd, group, settings)
  const capture = { session, received: 0 }
  session.on('packet', (packet: PacketWithHeader) => {
    capture.received += 1
    handle(bytesOf(packet), group)
  })
  return capture
}

/** A parked capture. */
function openUplink(
  pcap: Pcap,
  bufferBytes: number,
  handle: (frame: Buffer, capture: UplinkCapture) => void,
): UplinkCapture {
  const { opened: session, fd } = withNewSocket(AF_PACKET, () =>
    pcap.createSession('any', {
      filter: uplinkFilter(),
      snap_length: UPLINK_SNAPSHOT,
      buffer_size: bufferBytes,
      buffer_timeout: UPLINK_WAIT_MS,
      promiscuous: false,
    }),
  )
  if (session.link_type !== 'LINKTYPE_LINUX_SLL') {
    throw new SensorError(
      'CAPTURE_FAILED',
      `frames of ${session.link_type} can't be read`,
      'Install a libpcap whose device any gives cooked frames (DLT_LINUX_SLL).',
    )
  }
  parkPacketSocket(fd)
  keepOutgoingOnly(fd)
  const capture: UplinkCapture = {
    session,
    received: 0,
    bind: (index) => bindPacketSocket(fd, index),
    park: () => parkPacketSocket(fd),
  }
  // Until it was parked it heard every device, in both directions: that is still to be read, and nobody's.
  const parked = Date.now() + 1
  const read = performance.now() + OPENING_MS
  session.on('packet', (packet: PacketWithHeader) => {
    if (performance.now() < read && stampOf(packet) < parked) return
    capture.received += 1
    handle(bytesOf(packet), capture)
  })
  return capture
}

/** struct pcap_pkthdr as node-pcap copies it: seconds, microseconds, captured bytes, length; 32 bits each. */
function bytesOf({ buf, header }: PacketWithHeader): Buffer {
  return buf.subarray(0, header[NATIVE](8))
}

/** When the kernel saw it; milliseconds since the epoch. */
const stampOf = ({ header }: PacketWithHeader): number => header[NATIVE](0) * 1000 + header[NATIVE](4) / 1000
