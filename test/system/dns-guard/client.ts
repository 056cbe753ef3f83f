/** The role of a client: sends bytes to a name server as it is told to, and gives what came back. */
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'

export interface Order {
  readonly id: number
  readonly protocol: 'udp' | 'tcp'
  readonly address: string
  readonly port: number
  /** Over TCP all go out at once, and as many answers are waited for. */
  readonly messages: readonly Uint8Array[]
}

export interface Outcome {
  readonly id: number
  readonly answers: readonly Uint8Array[]
  /** Milliseconds until all had come, or none came any more. */
  readonly took: number
}

/** More than the guard's own patience. */
const PATIENCE_MS = 7000

export function runClient(): void {
  process.on('message', async (order: Order) => {
    const start = performance.now()
    const answers = await (order.protocol === 'udp' ? overUdp(order) : overTcp(order))
    process.send?.({ id: order.id, answers, took: performance.now() - start } satisfies Outcome)
  })
  process.on('disconnect', () => process.exit(0))
}

/** The socket is connected: only answers that come from where the question went arrive. */
function overUdp({ address, port, messages }: Order): Promise<Buffer[]> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  return new Promise((resolve) => {
    const answers: Buffer[] = []
    const finish = () => {
      clearTimeout(timer)
      socket.close()
      resolve(answers)
    }
    const timer = setTimeout(finish, PATIENCE_MS)
    socket.on('error', finish)
    socket.on('message', (answer) => {
      answers.push(answer)
      if (answers.length === messages.length) finish()
    })
    socket.connect(port, address, () => {
      for (const message of messages) socket.send(message)
    })
  })
}

function overTcp({ address, port, messages }: Order): Promise<Buffer[]> {
  const socket = connect(port, address)
  return new Promise((resolve) => {
    const answers: Buffer[] = []
    let received = Buffer.alloc(0)
    const finish = () => {
      socket.destroy()
      resolve(answers)
    }
    socket.setTimeout(PATIENCE_MS, finish)
    socket.on('error', finish)
    socket.on('close', finish)
    socket.on('connect', () => {
      for (const message of messages) {
        const length = Buffer.alloc(2)
        length.writeUInt16BE(message.length)
        socket.write(Buffer.concat([length, message]))
      }
    })
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const end = 2 + received.readUInt16BE(0)
        answers.push(received.subarray(2, end))
        received = received.subarray(end)
      }
      if (answers.length >= messages.length) finish()
    })
  })
}
