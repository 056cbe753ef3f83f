/** A process under some uid that sends what it is told to over IPC, and says from where. */
import { createSocket } from 'node:dgram'
import { connect, type Socket } from 'node:net'

export interface Order {
  readonly id: number
  readonly protocol: 'tcp' | 'udp'
  readonly address: string
  readonly port: number
  /** TCP: each a segment of its own. UDP: each a datagram. */
  readonly pieces: readonly Uint8Array[]
  /** UDP: how often all of it. */
  readonly times?: number
  /** UDP: milliseconds between two times. */
  readonly everyMs?: number
  /** TCP: the socket stays open. UDP: an answer is waited for. */
  readonly stay?: boolean
}

export interface Sent {
  readonly id: number
  readonly localAddress: string
  readonly localPort: number
  /** Datagrams that the kernel took or refused; never more were tried. */
  readonly sent: number
  readonly refused: number
}

const BETWEEN_MS = 20
const ANSWER_MS = 1000
const open: Socket[] = []
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

export function runSender(): void {
  process.on('message', async (raw: Order) => {
    const order = { ...raw, pieces: raw.pieces.map((piece) => Buffer.from(piece)) }
    const done = order.protocol === 'tcp' ? await tcp(order) : await udp(order)
    process.send?.({ id: order.id, ...done })
  })
  process.on('disconnect', () => process.exit(0))
}

async function tcp({ address, port, pieces, stay }: Order): Promise<Omit<Sent, 'id'>> {
  const socket = connect({ host: address, port, noDelay: true })
  socket.on('error', () => {})
  const connected = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true))
    socket.once('close', () => resolve(false))
  })
  const local = { localAddress: socket.localAddress ?? '', localPort: socket.localPort ?? 0 }
  for (const piece of connected ? pieces : []) {
    socket.write(piece)
    if (pieces.length > 1) await pause(BETWEEN_MS)
  }
  if (stay) open.push(socket)
  else if (connected) {
    // Reset rather than FIN, so that no socket is left that could be asked about.
    await pause(BETWEEN_MS)
    socket.resetAndDestroy()
  }
  return { ...local, sent: connected ? 1 : 0, refused: connected ? 0 : 1 }
}

async function udp({ address, port, pieces, times = 1, everyMs, stay }: Order): Promise<Omit<Sent, 'id'>> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  socket.on('error', () => {})
  const unreachable = await new Promise<unknown>((resolve) =>
    socket.connect(port, address, (...[error]: unknown[]) => resolve(error)),
  )
  let sent = 0
  let refused = 0
  if (unreachable) {
    socket.close()
    return { localAddress: '', localPort: 0, sent, refused: times * pieces.length }
  }
  for (let i = 0; i < times; i += 1) {
    for (const piece of pieces) {
      const error = await new Promise((resolve) => socket.send(piece, resolve))
      if (error) refused += 1
      else sent += 1
    }
    if (everyMs !== undefined) await pause(everyMs)
  }
  const { address: localAddress, port: localPort } = socket.address()
  if (stay) {
    await Promise.race([new Promise((resolve) => socket.once('message', resolve)), pause(ANSWER_MS)])
  }
  socket.close()
  return { localAddress, localPort, sent, refused }
}
