/**
 * One question to one server, over a socket of its own.
 *
 * Threat model: whoever can send us a datagram may try to answer first. An answer counts only from the server asked,
 * at the port asked (the socket is connected), to a port and an id that were drawn for this question alone, and
 * with its question (RFC 5452 section 9). Who sends many that don't fit is guessing: that try is given up.
 */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { type DnsMessage, readMessage } from '../wire/dns-message.ts'
import { answers, formatQuery, type Query } from '../wire/dns-query.ts'
import { DnsGuardError } from './dns-guard-error.ts'
import type { Upstream } from './upstreams.ts'

export type Transport = 'udp' | 'tcp'

const MAX_STRAYS = 16
const LENGTH_PREFIX = 2

/** @throws DnsGuardError `upstream-failed` where there is no answer, or none will be waited for */
export type Exchange = (
  server: Upstream,
  query: Query,
  transport: Transport,
  signal: AbortSignal,
) => Promise<DnsMessage>

export const exchange: Exchange = (server, query, transport, signal) =>
  transport === 'udp' ? overUdp(server, query, signal) : overTcp(server, query, signal)

const failed = ({ address, port }: Upstream, why: string) =>
  new DnsGuardError(
    'upstream-failed',
    `name server ${address} port ${port}: ${why}`,
    'See whether it answers, or name others in gateway.yaml (dns.upstreams).',
  )

function overUdp(server: Upstream, query: Query, signal: AbortSignal): Promise<DnsMessage> {
  const id = randomInt(0x10000)
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4')
    let over = false
    const finish = (settle: () => void) => {
      if (over) return
      over = true
      signal.removeEventListener('abort', aborted)
      socket.close()
      settle()
    }
    const fail = (why: string) => finish(() => reject(failed(server, why)))
    const aborted = () => fail('no answer in time')
    signal.addEventListener('abort', aborted)
    let strays = 0
    socket.on('error', (error) => fail(error.message))
    socket.on('message', (bytes) => {
      const message = readMessage(bytes)
      if (message && answers(message, query, id)) return finish(() => resolve(message))
      strays += 1
      if (strays >= MAX_STRAYS) fail('too many answers to what was not asked')
    })
    // A literal address is not looked up; the port is the kernel's to draw, from its whole ephemeral range.
    const connected = (error?: Error | null) => {
      if (over) return
      if (error) return fail(error.message)
      socket.send(formatQuery(query, id), (unsent) => {
        if (unsent) fail(unsent.message)
      })
    }
    socket.connect(server.port, server.address, connected)
    if (signal.aborted) aborted()
  })
}

function overTcp(server: Upstream, query: Query, signal: AbortSignal): Promise<DnsMessage> {
  const id = randomInt(0x10000)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server.address, port: server.port, noDelay: true })
    const finish = (settle: () => void) => {
      signal.removeEventListener('abort', aborted)
      socket.destroy()
      settle()
    }
    const fail = (why: string) => finish(() => reject(failed(server, why)))
    const aborted = () => fail('no answer in time')
    signal.addEventListener('abort', aborted)
    let received = Buffer.alloc(0)
    socket.on('error', (error) => fail(error.message))
    socket.on('close', () => fail('closed the connection'))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.length < LENGTH_PREFIX) return
      const end = LENGTH_PREFIX + received.readUInt16BE(0)
      if (received.length < end) return
      const message = readMessage(received.subarray(LENGTH_PREFIX, end))
      if (message && answers(message, query, id)) finish(() => resolve(message))
      else fail('answered what was not asked')
    })
    socket.on('connect', () => socket.write(prefixed(formatQuery(query, id))))
    if (signal.aborted) aborted()
  })
}

/** A message as TCP carries it (RFC 1035 section 4.2.2). */
export function prefixed(message: Buffer): Buffer {
  const bytes = Buffer.alloc(LENGTH_PREFIX + message.length)
  bytes.writeUInt16BE(message.length)
  message.copy(bytes, LENGTH_PREFIX)
  return bytes
}
