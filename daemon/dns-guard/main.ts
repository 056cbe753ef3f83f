/**
 * The process of the DNS guard: forked by the supervisor under the proxy's account, whose sockets alone pass the rules,
 * without capabilities. It writes no file, and ends when the supervisor does.
 */
import { createServer, type Server } from 'node:net'
import { receiveDatagrams, sendDatagram } from '../../firewall/datagram-messages.ts'
import { deviceName } from '../../firewall/libc.ts'
import { Admission, machineDevices } from './admission.ts'
import { DnsGuardError } from './dns-guard-error.ts'
import { exchange } from './exchange.ts'
import { Forwarder } from './forwarder.ts'
import { Guard, MAX_QUERY } from './guard.ts'
import { Learner } from './learner.ts'
import { type FromGuard, type Start, ToGuard } from './messages.ts'
import { Sightings } from './sightings.ts'
import { TcpClients } from './tcp-clients.ts'
import { upstreamSource } from './upstreams.ts'

const TICK_MS = 1000
const COMPLAINT_EVERY_MS = 60_000
const MAX_COMPLAINTS = 64
const BACKLOG = 256

const say = (message: FromGuard) => {
  if (process.connected) process.send?.(message)
}

/** A line on stderr, the same one once a minute. */
function complaints(): (what: string) => void {
  const quietUntil = new Map<string, number>()
  return (what) => {
    const time = performance.now()
    if ((quietUntil.get(what) ?? 0) > time) return
    for (const [line, until] of quietUntil) if (until <= time) quietUntil.delete(line)
    // Lines that name what was asked are as many as clients like.
    if (quietUntil.size >= MAX_COMPLAINTS) return
    quietUntil.set(what, time + COMPLAINT_EVERY_MS)
    process.stderr.write(`${what}\n`)
  }
}

interface Running {
  readonly learner: Learner
  readonly guard: Guard
  stop(): Promise<void>
}

async function run(start: Start): Promise<Running> {
  const upstreams = upstreamSource(start.upstreams)
  const forwarder = new Forwarder({ upstreams, exchange })
  const learner = new Learner((learn) => say({ type: 'learn', ...learn }))
  const sightings = new Sightings((sighting) => say({ type: 'refusal', ...sighting }))
  const admission = new Admission(start.bridges, machineDevices(deviceName))
  const guard = new Guard({
    rules: start.rules,
    forwarder,
    learner,
    refused: (question) => sightings.seen(question),
    asksLocally: () => upstreams().some(({ local }) => local),
    complain: complaints(),
  })
  const tcp = new TcpClients({
    answer: (bytes, client) => guard.answer(bytes, client, 'tcp'),
    admits: (local) => admission.byAddress(local),
  })
  const servers = await Promise.all(start.tcp.map(({ fd }) => listen(tcp, fd)))
  const receiver = receiveDatagrams({
    sockets: start.udp,
    maxSize: MAX_QUERY,
    received: ({ bytes, client, path }) => {
      if (!admission.byDevice(path.device)) return
      guard.answer(bytes, client, 'udp').then((answer) => {
        if (answer) sendDatagram(path, answer)
      })
    },
  })
  let last = ''
  const tick = setInterval(() => {
    say({ type: 'beat' })
    const state = {
      ...guard.state(),
      upstreams: upstreams().map(({ address, port }) => `${address} port ${port}`),
      failing: forwarder.failing,
      tcpClients: tcp.size,
    }
    const text = JSON.stringify(state)
    if (text === last) return
    last = text
    say({ type: 'state', ...state })
  }, TICK_MS)
  say({ type: 'ready' })
  return {
    learner,
    guard,
    async stop() {
      clearInterval(tick)
      for (const server of servers) server.close()
      tcp.closeAll()
      await receiver.stop()
      // The last: nothing is refused any more.
      sightings.stop()
    },
  }
}

function listen(clients: TcpClients, fd: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => clients.accept(socket))
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ fd, backlog: BACKLOG }, () => {
      server.off('error', reject)
      server.on('error', (error) => process.stderr.write(`accept: ${error.message}\n`))
      resolve(server)
    })
  })
}

let running: Promise<Running> | undefined

process.on('disconnect', () => process.exit(0))
// The supervisor says when to stop; a terminal's signals reach the whole group and are its to answer.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
process.on('message', (raw) => {
  const parsed = ToGuard.safeParse(raw)
  if (!parsed.success) {
    const where = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')
    throw new DnsGuardError(
      'bad-message',
      `a message of unknown shape: ${where}`,
      'Install one version throughout.',
    )
  }
  const message = parsed.data
  if (message.type === 'start') running ??= run(message)
  if (message.type === 'learned') running?.then(({ learner }) => learner.learned(message.request))
  if (message.type === 'rules') running?.then(({ guard }) => guard.setRules(message.rules))
  if (message.type === 'stop') {
    const stopped = running ? running.then((each) => each.stop()) : Promise.resolve()
    // What was said last, counts of refusals, is to arrive first.
    stopped.then(() => process.disconnect?.()).catch(() => process.exit(1))
  }
})
