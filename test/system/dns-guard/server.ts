/**
 * The role of a name server: it reports each question, and answers by the name's first label; or, given a server of its
 * own after `to`, it asks that one, like a stub.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer } from 'node:net'
import dnsPacket from 'dns-packet'
import { ALPN, ECH, HINT4, serviceBinding, wireMessage } from '../../unit/dns-wire-fixture.ts'

export interface Asked {
  readonly server: string
  readonly protocol: 'udp' | 'tcp'
  readonly name: string
  readonly from: string
}

export function runServer(args: readonly string[]): void {
  const at = args.indexOf('to')
  const [addresses, to] = at === -1 ? [args, undefined] : [args.slice(0, at), args[at + 1]]
  process.on('disconnect', () => process.exit(0))
  const report = (asked: Asked) => process.send?.(asked)
  let waiting = 0
  const listening = () => {
    waiting -= 1
    if (waiting === 0) process.send?.('listening')
  }
  for (const address of addresses) {
    waiting += 2
    const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    udp.on('message', (query, from) => {
      report({ server: address, protocol: 'udp', name: nameIn(query), from: from.address })
      const reply = (bytes: Buffer) => udp.send(bytes, from.port, from.address)
      if (to === undefined) reply(fitted(query, answerTo(query)))
      else passOn(query, to, reply)
    })
    udp.bind(53, address, listening)
    createServer((socket) => {
      socket.on('error', () => {})
      socket.on('data', (bytes: Buffer) => {
        const query = bytes.subarray(2)
        report({ server: address, protocol: 'tcp', name: nameIn(query), from: socket.remoteAddress ?? '' })
        const answer = answerTo(query)
        const length = Buffer.alloc(2)
        length.writeUInt16BE(answer.length)
        socket.write(Buffer.concat([length, answer]))
      })
    }).listen(53, address, listening)
  }
}

const questionIn = (query: Buffer) =>
  dnsPacket.decode(query).questions?.[0] ?? { name: '?', type: 'A' as const }
const nameIn = (query: Buffer) => questionIn(query).name

function answerTo(query: Buffer): Buffer {
  const { name, type } = questionIn(query)
  const id = query.readUInt16BE(0)
  if (name.startsWith('missing.')) return wireMessage({ id, flags: 0x8183, question: { name, type: 1 } })
  if (String(type) === 'HTTPS' || String(type) === 'UNKNOWN_65')
    return wireMessage({
      id,
      flags: 0x81a0,
      question: { name, type: 65 },
      answers: [{ name: '@12', type: 65, data: serviceBinding(1, '.', ALPN, HINT4, ECH) }],
    })
  const text = Buffer.concat([Buffer.from([200]), Buffer.alloc(200, 65)])
  if (type === 'TXT')
    return wireMessage({
      id,
      question: { name, type: 16 },
      answers: Array.from({ length: 20 }, () => ({ name: '@12', type: 16, data: text })),
    })
  if (type === 'AAAA')
    return wireMessage({
      id,
      question: { name, type: 28 },
      answers: [{ name: '@12', type: 28, data: Buffer.from('20010db8011300000000000000000010', 'hex') }],
    })
  return wireMessage({
    id,
    question: { name, type: 1 },
    answers: [{ name: '@12', type: 1, data: Buffer.from([203, 0, 113, 10]) }],
  })
}

function fitted(query: Buffer, answer: Buffer): Buffer {
  if (answer.length <= 512) return answer
  const { name } = questionIn(query)
  return wireMessage({ id: query.readUInt16BE(0), flags: 0x8380, question: { name, type: 16 } })
}

function passOn(query: Buffer, to: string, reply: (bytes: Buffer) => void): void {
  const socket: UdpSocket = createSocket('udp4')
  const timer = setTimeout(() => socket.close(), 5000)
  socket.on('message', (bytes) => {
    clearTimeout(timer)
    socket.close()
    reply(bytes)
  })
  socket.on('error', () => {})
  socket.connect(53, to, () => socket.send(query))
}
