/**
 * A process under some uid, in some namespace, that makes connections when told to over IPC and says what
 * became of them.
 */
import { createSocket } from 'node:dgram'
import { connect, createServer, type Socket } from 'node:net'
import { type Frame, type Packet, sendFrame, sendPacket } from './packets.ts'

export interface Attempt {
  readonly protocol: 'tcp' | 'udp'
  readonly address: string
  readonly port: number
  /** Keeps the connection under this name; `use` later writes on it. */
  readonly keep?: string
  /** Sends so many bytes and closes at once, without waiting for anything. */
  readonly dump?: number
  readonly localPort?: number
  /** How long an answer may take. */
  readonly patienceMs?: number
}
export type Order =
  | { readonly id: number; readonly attempt: Attempt }
  | { readonly id: number; readonly use: string }
  | { readonly id: number; readonly frame: Frame }
  | { readonly id: number; readonly packet: Packet }
  | { readonly id: number; readonly serve: number }
export interface Outcome {
  readonly id: number
  /** What the far end said first, or `error CODE`, or `silence`. */
  readonly answer: string
  readonly ms: number
  readonly localPort?: number
}

const PATIENCE_MS = 3000
const kept = new Map<string, Socket>()

export function runAgent(): void {
  process.on('message', async (order: Order) => {
    const start = performance.now()
    const answer = await obey(order)
    process.send?.({ id: order.id, ...answer, ms: performance.now() - start })
  })
  process.on('disconnect', () => process.exit(0))
}

function obey(order: Order): Promise<{ answer: string; localPort?: number }> {
  if ('use' in order) return use(order.use)
  if ('serve' in order) return serve(order.serve)
  if ('frame' in order) return Promise.resolve({ answer: sendFrame(order.frame) })
  if ('packet' in order) return Promise.resolve({ answer: sendPacket(order.packet) })
  return order.attempt.protocol === 'udp' ? udp(order.attempt) : tcp(order.attempt)
}

function tcp({ address, port, keep, dump, localPort, patienceMs = PATIENCE_MS }: Attempt) {
  return new Promise<{ answer: string; localPort?: number }>((resolve) => {
    const socket = connect({ port, host: address, ...(localPort === undefined ? {} : { localPort }) })
    let ownPort = 0
    const done = (answer: string) => {
      clearTimeout(timer)
      if (keep && !answer.startsWith('error')) kept.set(keep, socket)
      else socket.destroy()
      resolve({ answer, localPort: ownPort })
    }
    const timer = setTimeout(() => done('silence'), patienceMs)
    socket.on('error', (error: NodeJS.ErrnoException) => done(`error ${error.code}`))
    socket.on('connect', () => {
      ownPort = socket.localPort ?? 0
      if (dump) socket.write(Buffer.alloc(dump), () => done('dumped'))
    })
    if (!dump) {
      socket.once('data', (data) => done(data.toString().trim()))
      socket.once('end', () => done('error closed'))
    }
  })
}

function use(name: string) {
  return new Promise<{ answer: string }>((resolve) => {
    const socket = kept.get(name)
    if (!socket) return resolve({ answer: 'error none kept' })
    const done = (answer: string) => {
      clearTimeout(timer)
      resolve({ answer })
    }
    const timer = setTimeout(() => done('silence'), PATIENCE_MS)
    socket.once('error', (error: NodeJS.ErrnoException) => done(`error ${error.code}`))
    socket.once('close', () => done('error closed'))
    socket.once('data', (data) => done(data.toString().trim()))
    socket.write('again\n')
  })
}

function udp({ address, port, localPort = 0, patienceMs = PATIENCE_MS }: Attempt) {
  return new Promise<{ answer: string }>((resolve) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    const done = (answer: string) => {
      clearTimeout(timer)
      socket.close()
      resolve({ answer })
    }
    const timer = setTimeout(() => done('silence'), patienceMs)
    socket.once('error', (error: NodeJS.ErrnoException) => done(`error ${error.code}`))
    socket.once('message', (message) => done(message.toString().trim()))
    socket.bind(localPort, () => socket.connect(port, address, () => socket.send('hello')))
  })
}

function serve(port: number) {
  return new Promise<{ answer: string }>((resolve) => {
    const server = createServer((socket) => void socket.on('error', () => {}).end('served'))
    server.listen(port, '::', () => resolve({ answer: 'serving' }))
  })
}
