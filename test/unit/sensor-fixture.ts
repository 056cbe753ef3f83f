/** Packets as clients send them: ClientHellos, QUIC Initials, IP around them, and what the kernel's log makes of them. */
import { createCipheriv } from 'node:crypto'
import { clientInitialKeys, type QuicVersion } from '../../daemon/wire/quic-initial.ts'
import { addressBytes } from '../../firewall/ip-address.ts'

const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff])
const u32 = (value: number) =>
  Buffer.from([value >>> 24, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff])

/** The handshake message, without a record around it. @param padding bytes of a padding extension before the name */
export function helloMessage(name: string | undefined, padding = 0): Buffer {
  const extension = (type: number, data: Buffer) => Buffer.concat([u16(type), u16(data.length), data])
  const host = Buffer.from(name ?? '', 'latin1')
  const list = Buffer.concat([Buffer.from([0]), u16(host.length), host])
  const extensions = Buffer.concat([
    ...(padding > 0 ? [extension(21, Buffer.alloc(padding))] : []),
    ...(name === undefined ? [] : [extension(0, Buffer.concat([u16(list.length), list]))]),
    extension(43, Buffer.from([2, 3, 4])),
  ])
  const body = Buffer.concat([
    ...[u16(0x0303), Buffer.alloc(32, 7), Buffer.from([0]), u16(2), u16(0x1301), Buffer.from([1, 0])],
    ...[u16(extensions.length), extensions],
  ])
  return Buffer.concat([Buffer.from([1, 0]), u16(body.length), body])
}

export function tlsHello(name: string | undefined, padding = 0): Buffer {
  const message = helloMessage(name, padding)
  return Buffer.concat([Buffer.from([22, 3, 1]), u16(message.length), message])
}

export const cryptoFrame = (offset: number, data: Buffer): Buffer =>
  Buffer.concat([Buffer.from([6]), u32(0x8000_0000 + offset), u16(0x4000 + data.length), data])

export interface InitialOptions {
  readonly version?: QuicVersion
  /** What keys are made from. */
  readonly firstId: Buffer
  /** What stands in the packet. */
  readonly destinationId?: Buffer
  readonly sourceId?: Buffer
  readonly token?: Buffer
  readonly packetNumber: number
  readonly numberSize?: 1 | 2 | 3 | 4
  /** Frames, padded to `payloadSize`. */
  readonly frames: Buffer
  readonly payloadSize?: number
}

/** A protected client Initial (RFC 9001 section 5). */
export function sealInitial(options: InitialOptions): Buffer {
  const { version = 1, firstId, destinationId = firstId, packetNumber, numberSize = 4 } = options
  const { sourceId = Buffer.alloc(0), token = Buffer.alloc(0) } = options
  const payload = Buffer.alloc(Math.max(options.payloadSize ?? 0, options.frames.length, 4))
  options.frames.copy(payload)
  const keys = clientInitialKeys(version, firstId)
  const first = 0xc0 | (version === 2 ? 0x10 : 0) | (numberSize - 1)
  const beforeNumber = Buffer.concat([
    ...[Buffer.from([first]), u32(version === 2 ? 0x6b33_43cf : 1)],
    ...[Buffer.from([destinationId.length]), destinationId, Buffer.from([sourceId.length]), sourceId],
    ...[token.length === 0 ? Buffer.from([0]) : u16(0x4000 + token.length), token],
    u16(0x4000 + numberSize + payload.length + 16),
  ])
  const header = Buffer.concat([beforeNumber, u32(packetNumber).subarray(4 - numberSize)])
  const nonce = Buffer.from(keys.iv)
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ packetNumber) >>> 0, 8)
  const gcm = createCipheriv('aes-128-gcm', keys.key, nonce)
  gcm.setAAD(header)
  const sealed = Buffer.concat([gcm.update(payload), gcm.final(), gcm.getAuthTag()])
  const packet = Buffer.concat([header, sealed])
  const at = beforeNumber.length
  const mask = createCipheriv('aes-128-ecb', keys.headerProtection, null).update(
    packet.subarray(at + 4, at + 20),
  )
  packet[0] = first ^ (mask.readUInt8(0) & 0x0f)
  for (let i = 0; i < numberSize; i += 1) packet[at + i] = packet.readUInt8(at + i) ^ mask.readUInt8(1 + i)
  return packet
}

export interface Ends {
  readonly source: string
  readonly sourcePort: number
  readonly destination: string
  readonly destinationPort: number
}

export const ENDS: Ends = {
  source: '192.0.2.2',
  sourcePort: 40_000,
  destination: '203.0.113.10',
  destinationPort: 443,
}
export const ENDS6: Ends = { ...ENDS, source: '2001:db8:1::2', destination: '2001:db8:113::10' }

export function tcpPacket(ends: Ends, sequence: number, data: Buffer, flags = 0x18): Buffer {
  const header = Buffer.concat([
    ...[u16(ends.sourcePort), u16(ends.destinationPort), u32(sequence), u32(1)],
    ...[Buffer.from([0x50, flags]), u16(65_535), u16(0), u16(0)],
  ])
  return ipPacket(ends, 6, Buffer.concat([header, data]))
}

export function udpPacket(ends: Ends, data: Buffer): Buffer {
  const header = Buffer.concat([
    u16(ends.sourcePort),
    u16(ends.destinationPort),
    u16(8 + data.length),
    u16(0),
  ])
  return ipPacket(ends, 17, Buffer.concat([header, data]))
}

/** @param fragment id, offset in bytes, whether more follow */
export function ipPacket(
  { source, destination }: Ends,
  protocol: number,
  payload: Buffer,
  fragment?: readonly [id: number, offset: number, more: boolean],
): Buffer {
  const addresses = [addressBytes(source), addressBytes(destination)].map((bytes) => bytes ?? Buffer.alloc(0))
  const [id, offset, more] = fragment ?? [0, 0, false]
  if (addresses[0]?.length === 4) {
    const flags = (more ? 0x2000 : 0) | (offset / 8)
    const rest = [u16(id), u16(flags), Buffer.from([64, protocol]), u16(0), ...addresses, payload]
    return Buffer.concat([Buffer.from([0x45, 0]), u16(20 + payload.length), ...rest])
  }
  const piece = Buffer.concat([Buffer.from([protocol, 0]), u16(offset | (more ? 1 : 0)), u32(id)])
  const body = fragment ? Buffer.concat([piece, payload]) : payload
  const next = fragment ? 44 : protocol
  return Buffer.concat([
    Buffer.from([0x60, 0, 0, 0]),
    u16(body.length),
    Buffer.from([next, 64]),
    ...addresses,
    body,
  ])
}

export const ethernet = (packet: Buffer): Buffer =>
  Buffer.concat([Buffer.alloc(12, 2), u16((packet[0] ?? 0) >> 4 === 4 ? 0x0800 : 0x86dd), packet])

/** Behind Linux's cooked header, as it leaves by an Ethernet device. */
export const cooked = (packet: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from('0004000100060200000000010000', 'hex'),
    u16((packet[0] ?? 0) >> 4 === 4 ? 0x0800 : 0x86dd),
    packet,
  ])

export interface LoggedAs {
  readonly family?: number
  readonly prefix?: string
  readonly uid?: number
  readonly gid?: number
  readonly hook?: number
  readonly sequence?: number
  readonly inputDevice?: number
}

/** As pcap gives a packet of a log group on a little-endian machine. */
export function loggedPacket(packet: Buffer, as: LoggedAs = {}): Buffer {
  const attribute = (type: number, value: Buffer) => {
    const head = Buffer.alloc(4)
    head.writeUInt16LE(4 + value.length, 0)
    head.writeUInt16LE(type, 2)
    return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)])
  }
  const optional = (type: number, value: number | undefined) =>
    value === undefined ? [] : [attribute(type, u32(value))]
  const six = (packet[0] ?? 0) >> 4 === 6
  return Buffer.concat([
    Buffer.from([as.family ?? (six ? 10 : 2), 0, 0, 71]),
    attribute(1, Buffer.concat([u16(six ? 0x86dd : 0x0800), Buffer.from([as.hook ?? 3, 0])])),
    attribute(10, Buffer.from(`${as.prefix ?? 'aa:tcp '}\0`, 'latin1')),
    ...optional(4, as.inputDevice),
    ...optional(11, as.uid),
    ...optional(14, as.gid),
    ...optional(12, as.sequence),
    attribute(9, packet),
  ])
}
