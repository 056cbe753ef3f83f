/**
 * The captures, by the npm package `pcap`: opened as root, read by whoever the process is then. One that can't be
 * opened, or whose device goes away, is blind, and says so; it never takes the others down.
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
import type { Link } from './sensor.ts'
import { SensorError } from './sensor-error.ts'
import { uplinkFilter } from './uplink-filter.ts'

type Pcap = typeof import('pcap')

/** The part of node-pcap's session that its types don't tell. */
interface Internals {
  readonly session: { dispatch(buffer: Buffer, header: Buffer): number }
  readonly buf: Buffer
  readonly header: Buffer
}

export interface Captures {
  /** Names of those that are open: devices, `nflog:<group>`. */
  readonly devices: readonly string[]
  /** Reads what nobody was woken for; to be called several times a second. */
  read(): void
  state(): { received: number; dropped: number; blind: Blindness[] }
}

export interface Handlers {
  readonly refused: (bytes: Buffer, group: number) => void
  readonly answered: (bytes: Buffer, group: number) => void
  readonly left: (frame: Buffer, link: Link, device: string) => void
}

export interface Wanted {
  readonly logGroup: number
  readonly dnsLogGroup?: number | undefined
  readonly uplinks: readonly string[]
}

interface Capture {
  readonly device: string
  readonly session: PcapSession
  /** Of the device when it was opened; undefined for a group of the log. */
  readonly index: number | undefined
  received: number
  gone: boolean
}

/** Whole ClientHellos, also where the kernel shows what the network card is yet to cut up. */
const UPLINK_SNAPSHOT = 20_000
const UPLINK_BUFFER = 4 << 20
/** How long a packet may lie in the kernel's buffer until somebody is woken: fewer wake-ups for more packets. */
const UPLINK_WAIT_MS = 20
/** libpcap reads into a buffer of this size: the largest packet below, and what the kernel writes around it. */
const LOG_SNAPSHOT = 20_000
const LOG_BUFFER = 4 << 20
/** Refused packets may come a little later and many at once; a DNS answer must be learned before its asker connects. */
const REFUSED: LogSettings = { copyBytes: 2048, gather: 32, waitCentiseconds: 5, bufferBytes: LOG_BUFFER }
const ANSWERS: LogSettings = { copyBytes: 16_384, gather: 1, waitCentiseconds: 1, bufferBytes: LOG_BUFFER }
/** pcap's names of link types that an uplink may have. */
const LINKS: Readonly<Record<string, Link>> = {
  LINKTYPE_ETHERNET: 'ethernet',
  LINKTYPE_LINUX_SLL: 'cooked',
  LINKTYPE_RAW: 'raw',
}
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
  const captures: Capture[] = []
  const failed: Blindness[] = []
  const attempt = (device: string, open: () => Capture) => {
    try {
      captures.push(open())
    } catch (error) {
      failed.push({ device, reason: messageOf(error) })
    }
  }
  const group = (number: number, settings: LogSettings, handle: (bytes: Buffer, group: number) => void) =>
    attempt(`nflog:${number}`, () => openGroup(pcap, number, settings, handle))

  group(wanted.logGroup, REFUSED, handlers.refused)
  if (wanted.dnsLogGroup !== undefined) group(wanted.dnsLogGroup, ANSWERS, handlers.answered)
  for (const device of wanted.uplinks) attempt(device, () => openUplink(pcap, device, handlers.left))

  return {
    devices: captures.map(({ device }) => device),
    read() {
      for (const { session } of captures) {
        const { session: binding, buf, header } = session as unknown as Internals
        binding.dispatch(buf, header)
      }
    },
    state() {
      let received = 0
      let dropped = 0
      const blind = [...failed]
      for (const capture of captures) {
        received += capture.received
        const { ps_drop, ps_ifdrop } = capture.session.stats()
        // Of a group's losses pcap knows the occasions only: numbers in the packets tell how many (see sensor.ts).
        if (capture.index !== undefined) dropped += ps_drop + ps_ifdrop
        capture.gone ||= capture.index !== undefined && deviceIndex(capture.device) !== capture.index
        if (capture.gone) blind.push({ device: capture.device, reason: 'the device is gone' })
      }
      return { received, dropped, blind }
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
  const capture = { device, session, index: undefined, received: 0, gone: false }
  session.on('packet', (packet: PacketWithHeader) => {
    capture.received += 1
    handle(bytesOf(packet), group)
  })
  return capture
}

function openUplink(pcap: Pcap, device: string, handle: Handlers['left']): Capture {
  const index = deviceIndex(device)
  if (index === undefined) {
    throw new SensorError('CAPTURE_FAILED', 'there is no such device', 'It is opened when it is there.')
  }
  const { opened: session, fd } = withNewSocket(AF_PACKET, () =>
    pcap.createSession(device, {
      filter: uplinkFilter(),
      snap_length: UPLINK_SNAPSHOT,
      buffer_size: UPLINK_BUFFER,
      buffer_timeout: UPLINK_WAIT_MS,
      promiscuous: false,
    }),
  )
  keepOutgoingOnly(fd)
  const link = LINKS[session.link_type]
  if (link === undefined) {
    throw new SensorError(
      'CAPTURE_FAILED',
      `frames of ${session.link_type} can't be read`,
      'Report this device.',
    )
  }
  const capture = { device, session, index, received: 0, gone: false }
  session.on('packet', (packet: PacketWithHeader) => {
    capture.received += 1
    handle(bytesOf(packet), link, device)
  })
  return capture
}

/** struct pcap_pkthdr as node-pcap copies it: seconds, microseconds, captured bytes, length; 32 bits each. */
function bytesOf({ buf, header }: PacketWithHeader): Buffer {
  return buf.subarray(0, header[NATIVE](8))
}
