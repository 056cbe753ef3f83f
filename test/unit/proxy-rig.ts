/**
 * A proxy worker in this process, on loopback: a fake kernel says that every connection was meant for the fake
 * provider, a fake recorder takes the frames. TLS, sockets, policy and certificates are real.
 */
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { type Authority, createAuthority } from '../../ca/authority.ts'
import { issueLeaf } from '../../ca/leaf.ts'
import { Worker, type WorkerOptions } from '../../daemon/proxy/worker.ts'
import {
  type Admission,
  type Frame,
  FrameReader,
  FrameType,
  frameHeader,
} from '../../daemon/recorder/protocol.ts'
import { loadPolicy, type Policy } from '../../policies/policy.ts'
import type { RulesInForce } from '../../policies/rules.ts'
import { shippedDirectory } from '../../policies/shipped.ts'

export const NAME = 'api.openai.com'

/** A shipped policy, some settings changed. */
export function rulesOf(
  name: string,
  changes: {
    proxy?: Partial<Policy['proxy']>
    enforcement?: Partial<Policy['enforcement']>
    traffic?: Partial<Policy['traffic']>
    agents?: Policy['agents']
    detectors?: Policy['detectors']
  } = {},
): RulesInForce {
  const { policy, catalogue, resolvers } = loadPolicy({ dir: shippedDirectory, name })
  const changed = {
    ...policy,
    proxy: { ...policy.proxy, ...changes.proxy },
    enforcement: { ...policy.enforcement, ...changes.enforcement },
    traffic: { ...policy.traffic, ...changes.traffic },
    agents: changes.agents ?? policy.agents,
    detectors: changes.detectors ?? policy.detectors,
  }
  return { policy: changed, catalogue, resolvers, ownHosts: [] }
}

const standard = rulesOf('standard')
export const policyHash = standard.policy.hash

const now = new Date()
export const gateway: Authority = await createAuthority({
  permittedDomains: ['openai.com', 'cloudflare.com'],
  now,
})
export const internet: Authority = await createAuthority({
  permittedDomains: ['openai.com', 'other.example'],
  now,
})

export interface Identity {
  readonly key: string
  readonly cert: string
}

export async function identity(authority: Authority, name: string): Promise<Identity> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const publicKeySpki = publicKey.export({ type: 'spki', format: 'der' })
  const cert = await issueLeaf(authority, { name, publicKeySpki, now: new Date() })
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), cert }
}

export const providerIdentity = await identity(internet, NAME)

const listening = (server: Server): Promise<number> =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })

/** One exchange as the recorder saw it. */
export interface Recorded {
  readonly frames: Frame[]
  readonly types: number[]
  readonly open: Record<string, unknown>
  readonly end: Record<string, unknown> | undefined
  readonly requestHead: string
  readonly requestBody: Buffer
  readonly responseHead: string
  readonly responseBody: Buffer
}

export class FakeRecorder {
  readonly frames: Frame[] = []
  /** durable: answers at once; silent: does not answer; failed: says so; paused: doesn't even read. */
  mode: 'durable' | 'silent' | 'failed' = 'durable'
  readonly path: string
  readonly #directory = mkdtempSync(join(tmpdir(), 'aa-proxy-'))
  #server: Server | undefined
  readonly sockets = new Set<Socket>()
  #waiting: { when: () => boolean; done: () => void }[] = []

  constructor() {
    this.path = join(this.#directory, 'recorder.sock')
  }

  start(): Promise<void> {
    const server = createServer((socket) => {
      const reader = new FrameReader()
      this.sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => this.sockets.delete(socket))
      socket.on('data', (bytes) => {
        for (const frame of reader.push(bytes)) this.#take(socket, frame)
        this.#look()
      })
    })
    this.#server = server
    return new Promise((resolve) => server.listen(this.path, resolve))
  }

  /** Gets body frames instead of their being kept. */
  bodies: ((frame: Frame) => void) | undefined

  #take(socket: Socket, frame: Frame): void {
    const isBody = frame.type === FrameType.RequestBody || frame.type === FrameType.ResponseBody
    if (this.bodies && isBody) {
      this.bodies(frame)
      return
    }
    this.frames.push({ ...frame, payload: Buffer.from(frame.payload) })
    if (frame.type !== FrameType.RequestEnd || this.mode === 'silent') return
    this.answer(frame.exchange, this.mode === 'durable', socket)
  }

  answer(exchange: number, durable: boolean, socket = [...this.sockets][0] as Socket): void {
    const payload = durable
      ? Buffer.alloc(0)
      : Buffer.from(JSON.stringify({ code: 'ENOSPC', message: 'disk full' }))
    const type = durable ? FrameType.Durable : FrameType.Failed
    socket.write(Buffer.concat([frameHeader(type, exchange, Date.now(), payload.length), payload]))
  }

  /** Says that the record of an exchange has reached its level. */
  reach(exchange: number, socket = [...this.sockets][0] as Socket): void {
    socket.write(frameHeader(FrameType.Reached, exchange, Date.now(), 0))
  }

  /** Says whether exchanges may begin. */
  admit(admission: Admission): void {
    const payload = Buffer.from(JSON.stringify(admission))
    const header = frameHeader(FrameType.Admission, 0, Date.now(), payload.length)
    for (const socket of this.sockets) socket.write(Buffer.concat([header, payload]))
  }

  until(when: () => boolean, timeout = 5000): Promise<void> {
    if (when()) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`the recorder saw only ${this.frames.map((f) => f.type)}`)),
        timeout,
      )
      this.#waiting.push({
        when,
        done: () => {
          clearTimeout(timer)
          resolve()
        },
      })
    })
  }

  #look(): void {
    const due = this.#waiting.filter((one) => one.when())
    this.#waiting = this.#waiting.filter((one) => !due.includes(one))
    for (const one of due) one.done()
  }

  /** The nth exchange (from 0) once it has ended. */
  async ended(n = 0): Promise<Recorded> {
    await this.until(() => this.frames.filter((frame) => frame.type === FrameType.End).length > n)
    return this.exchange(this.frames.filter((frame) => frame.type === FrameType.End)[n]?.exchange as number)
  }

  exchange(number: number): Recorded {
    const frames = this.frames.filter((frame) => frame.exchange === number)
    const all = (type: number) =>
      Buffer.concat(frames.filter((frame) => frame.type === type).map((frame) => frame.payload))
    const end = all(FrameType.End)
    return {
      frames,
      types: frames.map((frame) => frame.type),
      open: JSON.parse(all(FrameType.Open).toString() || '{}'),
      end: end.length > 0 ? JSON.parse(end.toString()) : undefined,
      requestHead: all(FrameType.RequestHead).toString('latin1'),
      requestBody: all(FrameType.RequestBody),
      responseHead: all(FrameType.ResponseHead).toString('latin1'),
      responseBody: all(FrameType.ResponseBody),
    }
  }

  refusals(): Record<string, unknown>[] {
    return this.frames
      .filter((frame) => frame.type === FrameType.Refusal)
      .map((frame) => JSON.parse(frame.payload.toString()))
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await new Promise<void>((resolve) => (this.#server ? this.#server.close(() => resolve()) : resolve()))
    this.#server = undefined
  }

  dispose(): void {
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

export interface Rig {
  readonly recorder: FakeRecorder
  readonly worker: Worker
  readonly proxyPort: number
  readonly providerPort: number
  /** Sockets the provider has accepted. */
  readonly provided: Socket[]
  /** Sockets that the worker has accepted. */
  readonly accepted: Socket[]
  /** A TLS connection of an agent, ready to write. */
  agent(options?: { servername?: string; alpn?: string[]; ca?: string }): Promise<TLSSocket>
  /** A plain TCP connection of an agent. */
  plain(): Promise<Socket>
  stop(): Promise<void>
}

export interface RigOptions extends Partial<WorkerOptions> {
  /** Gets each connection that reaches the provider, TLS done. */
  readonly provider: (socket: Socket) => void
  readonly tls?: Identity | false
  /** What the provider speaks at the moment, the best first; HTTP/1.1 where nothing is said. */
  readonly alpn?: readonly string[]
  /** Where the kernel says that connections were meant for, instead of the provider. */
  readonly rulesAt?: (providerPort: number) => RulesInForce
  readonly destination?: (providerPort: number) => { address: string; port: number } | undefined
  readonly recorder?: FakeRecorder
  readonly startRecorder?: boolean
  /** The kernel can't say at accept whose connections they are. */
  readonly nobodys?: boolean
}

export async function startRig(options: RigOptions): Promise<Rig> {
  const {
    provider,
    tls = providerIdentity,
    alpn = ['http/1.1'],
    destination,
    rulesAt,
    recorder = new FakeRecorder(),
    startRecorder = true,
    nobodys = false,
    ...rest
  } = options
  if (startRecorder) await recorder.start()
  const provided: Socket[] = []
  const accepted: Socket[] = []
  const serve = (socket: Socket) => {
    provided.push(socket)
    socket.on('error', () => {})
    provider(socket)
  }
  const raw = new Set<Socket>()
  const chosen = ({ protocols }: { protocols: string[] }) => alpn.find((one) => protocols.includes(one))
  const upstream = tls
    ? createTlsServer({ ...tls, ALPNCallback: chosen, allowHalfOpen: true }, serve)
    : createServer({ allowHalfOpen: true }, serve)
  upstream.on('connection', (socket: Socket) => {
    raw.add(socket)
    socket.on('error', () => {})
  })
  const providerPort = await listening(upstream)
  const target = { address: '127.0.0.1', port: providerPort }
  const worker = new Worker({
    kernel: {
      originalDestination: () => (destination ? destination(providerPort) : target),
      flowOwner: () => (nobodys ? undefined : { uid: 1000, inode: 42 }),
    },
    rules: rulesAt?.(providerPort) ?? standard,
    askForLeaf: (name, publicKeySpki) => issueLeaf(gateway, { name, publicKeySpki, now: new Date() }),
    learned: () => {},
    dns: () => Promise.reject(new Error('no DNS in this test')),
    hosts: () => [],
    staticHosts: { [NAME]: { addresses: ['127.0.0.1'], root: internet.certificatePem } },
    systemRoots: [],
    recorderSocket: recorder.path,
    fingerprintKey: Buffer.alloc(32, 7),
    durability: 'before-forward',
    sniffTimeoutMs: 150,
    providerAddresses: ['127.0.0.1'],
    ...rest,
  })
  const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
    accepted.push(socket)
    worker.accept(socket, 4)
  })
  const proxyPort = await listening(listener)
  while (startRecorder && worker.state().recorder === 'lost')
    await new Promise((resolve) => setTimeout(resolve, 5))
  const agents = new Set<Socket>()
  const connected = <S extends Socket>(socket: S, event: string): Promise<S> => {
    agents.add(socket)
    return new Promise((resolve, reject) => {
      socket.once('error', reject)
      socket.once(event, () => {
        socket.off('error', reject)
        socket.on('error', () => {})
        resolve(socket)
      })
    })
  }
  return {
    recorder,
    worker,
    proxyPort,
    providerPort,
    provided,
    accepted,
    agent: ({ servername = NAME, alpn, ca = gateway.certificatePem } = {}) => {
      const under = connect({ port: proxyPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
      const socket = connectTls({
        socket: under,
        servername,
        ca: [ca],
        ...(alpn ? { ALPNProtocols: alpn } : {}),
      })
      under.on('error', () => {})
      return connected(socket, 'secureConnect')
    },
    plain: () =>
      connected(
        connect({ port: proxyPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true }),
        'connect',
      ),
    async stop() {
      for (const socket of agents) socket.destroy()
      for (const socket of raw) socket.destroy()
      listener.close()
      upstream.close()
      await worker.stop()
      await recorder.stop()
      recorder.dispose()
    },
  }
}

/** Reads a socket: `until` waits for text or a number of bytes in what came so far. */
export function reading(socket: Socket) {
  let bytes: Buffer = Buffer.alloc(0)
  let ended = false
  const waiting = new Set<() => void>()
  const wake = () => {
    for (const one of waiting) one()
  }
  socket.on('data', (more) => {
    bytes = Buffer.concat([bytes, more])
    wake()
  })
  for (const event of ['end', 'close']) {
    socket.on(event, () => {
      ended = true
      wake()
    })
  }
  return {
    get bytes() {
      return bytes
    },
    get text() {
      return bytes.toString('latin1')
    },
    get ended() {
      return ended
    },
    clear() {
      bytes = Buffer.alloc(0)
    },
    until(what: string | number | 'end', timeout = 5000): Promise<string> {
      const met = () =>
        what === 'end' ? ended : typeof what === 'number' ? bytes.length >= what : bytes.includes(what)
      return new Promise((resolve, reject) => {
        const look = () => {
          if (!met()) return
          waiting.delete(look)
          clearTimeout(timer)
          resolve(bytes.toString('latin1'))
        }
        const timer = setTimeout(() => {
          waiting.delete(look)
          reject(
            new Error(
              `waited for ${JSON.stringify(what)}, saw ${JSON.stringify(bytes.toString('latin1').slice(0, 400))}`,
            ),
          )
        }, timeout)
        waiting.add(look)
        look()
      })
    },
  }
}

/** A provider that answers each whole request (Content-Length only) with what `answer` says. */
export function answering(answer: (request: string, socket: Socket) => string | Buffer | undefined) {
  return (socket: Socket) => {
    let pending = ''
    socket.on('data', (bytes) => {
      pending += bytes.toString('latin1')
      for (;;) {
        const end = pending.indexOf('\r\n\r\n')
        if (end < 0) return
        const length = Number(/\r\ncontent-length: *(\d+)/i.exec(pending.slice(0, end))?.[1] ?? 0)
        if (pending.length < end + 4 + length) return
        const request = pending.slice(0, end + 4 + length)
        pending = pending.slice(end + 4 + length)
        const reply = answer(request, socket)
        if (reply !== undefined) socket.write(reply)
      }
    })
    socket.on('end', () => socket.end())
  }
}
