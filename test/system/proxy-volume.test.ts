/**
 * What a worker holds of much: answers and requests that are larger than its memory may grow, bombs that it never opens,
 * and ten thousand agents that say nothing. The agents of the last are another process, so that only the worker is measured.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { h2Agent, startH2Rig } from '../unit/h2-rig.ts'
import { aLook, pass, restoreClock } from '../unit/proxy-clock.ts'
import { answering, NAME, type Rig, reading, startRig } from '../unit/proxy-rig.ts'

t.setTimeout(120_000)
t.teardown(restoreClock)
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const MIB = 1 << 20
const BLOCK = Buffer.alloc(1 << 16, 'y')
/** Far above what is held (both ends of this process, and one socket's queue each), far below what passes. */
const MAX_GROWTH = 24 * MIB

/** Buffers held beyond those at the beginning, at most. The collector gives them back beside us: hence the pause. */
async function growth() {
  collect()
  await new Promise((resolve) => setTimeout(resolve, 50))
  const before = process.memoryUsage().arrayBuffers
  let peak = 0
  return {
    async look(): Promise<void> {
      let least = Number.POSITIVE_INFINITY
      for (let times = 0; times < 5 && least > peak; times++) {
        collect()
        await new Promise((resolve) => setTimeout(resolve, 10))
        least = Math.min(least, process.memoryUsage().arrayBuffers - before)
      }
      peak = Math.max(peak, least)
    },
    get peak() {
      return peak
    },
  }
}

/** Writes as the other side takes it. */
async function pour(into: Writable, size: number): Promise<void> {
  for (let sent = 0; sent < size; sent += BLOCK.length) {
    if (!into.write(BLOCK)) await once(into, 'drain')
  }
}

/** Reads slowly until there were so many bytes: it stops every 16 MiB, and what is held then is looked at. */
function drink(from: Readable, size: number, look: () => Promise<void>): Promise<void> {
  let received = 0
  let next = 16 * MIB
  return new Promise((resolve) => {
    from.on('data', (bytes: Buffer) => {
      received += bytes.length
      if (received >= size) resolve()
      if (received < next) return
      next += 16 * MIB
      from.pause()
      look().then(() => from.resume())
    })
  })
}

/** Counts what is recorded, and keeps nothing of it. */
function counted(rig: Rig): { request: number; response: number } {
  const count = { request: 0, response: 0 }
  rig.recorder.bodies = ({ type, payload }) => {
    if (type === FrameType.RequestBody) count.request += payload.length
    else count.response += payload.length
  }
  return count
}

const ANSWER = 300 * MIB
const REQUEST = 100 * MIB

t.test('HTTP/1.1: 100 MiB of a request and 300 MiB of its answer pass in constant memory', async (t) => {
  const held = await growth()
  const rig = await startRig({
    async provider(socket: Socket) {
      await drink(socket, REQUEST, held.look)
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${ANSWER}\r\n\r\n`)
      await pour(socket, ANSWER)
    },
  })
  t.teardown(() => rig.stop())
  const count = counted(rig)
  const agent = await rig.agent()
  agent.write(`POST /v1/files HTTP/1.1\r\nHost: ${NAME}\r\nContent-Length: ${REQUEST}\r\n\r\n`)
  await pour(agent, REQUEST)
  await drink(agent, ANSWER, held.look)
  t.match((await rig.recorder.ended()).end, { outcome: 'complete' })
  t.same(count, { request: REQUEST, response: ANSWER }, 'all of it was recorded')
  t.comment(`HTTP/1.1: ${(held.peak / MIB).toFixed(1)} MiB held at most`)
  t.ok(held.peak < MAX_GROWTH)
})

t.test('HTTP/2: 100 MiB of a request and 300 MiB of its answer pass in constant memory', async (t) => {
  const held = await growth()
  const rig = await startH2Rig(async (stream: ServerHttp2Stream) => {
    await drink(stream, REQUEST, held.look)
    stream.respond({ ':status': 200 })
    await pour(stream, ANSWER)
    stream.end()
  })
  t.teardown(() => rig.stop())
  const count = counted(rig)
  const session = await h2Agent(rig)
  const stream = session.request({ ':method': 'POST', ':path': '/v1/files' })
  await pour(stream, REQUEST)
  stream.end()
  await drink(stream, ANSWER, held.look)
  t.match((await rig.recorder.ended()).end, { outcome: 'complete' })
  t.same(count, { request: REQUEST, response: ANSWER }, 'all of it was recorded')
  t.comment(`HTTP/2: ${(held.peak / MIB).toFixed(1)} MiB held at most`)
  t.ok(held.peak < MAX_GROWTH)
  session.destroy()
})

t.test('a bomb passes as the bytes that it is: nothing opens it on the way', async (t) => {
  // 2 GiB of zeros, compressed twice.
  const layer = gzipSync(Buffer.alloc(64 * MIB))
  const bomb = gzipSync(Buffer.concat(Array.from({ length: 32 }, () => layer)))
  const head = `Content-Type: application/json\r\nContent-Encoding: gzip, gzip\r\nContent-Length: ${bomb.length}\r\n\r\n`
  const held = await growth()
  const rig = await startRig({
    provider: answering((_, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\n${head}`)
      socket.write(bomb)
      return undefined
    }),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  const read = reading(agent)
  const before = process.cpuUsage()
  agent.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: ${NAME}\r\n${head}`)
  agent.write(bomb)
  const { requestBody, responseBody, end } = await rig.recorder.ended()
  await held.look()
  const { user, system } = process.cpuUsage(before)
  t.match(end, { outcome: 'complete' })
  t.ok(requestBody.equals(bomb) && responseBody.equals(bomb), 'recorded as it is')
  await read.until(bomb.length)
  t.ok(read.bytes.subarray(-bomb.length).equals(bomb), 'passed as it is')
  t.ok(held.peak < 8 * MIB)
  t.ok(user + system < 1_000_000, 'to open it takes seconds')
})

const AGENTS = 10_000

t.test(
  `${AGENTS} idle agents cost little each, others are served, and their deadlines end them`,
  async (t) => {
    const rig = await startRig({
      provider: answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'),
      // So many at once are not quick to say hello.
      sniffTimeoutMs: 60_000,
    })
    t.teardown(() => rig.stop())
    const some = await idle(rig, 100)
    collect()
    const before = process.memoryUsage()
    const agents = await idle(rig, AGENTS)
    t.equal(rig.worker.state().connections, AGENTS + 100)
    collect()
    const after = process.memoryUsage()
    const each = (name: 'rss' | 'heapUsed' | 'external') =>
      `${((after[name] - before[name]) / AGENTS / 1024).toFixed(1)} KiB of ${name}`
    t.comment(`each idle TLS connection: ${each('rss')}, ${each('heapUsed')}, ${each('external')}`)
    t.ok((after.rss - before.rss) / AGENTS < 150 * 1024)
    const busy = await rig.agent()
    const read = reading(busy)
    busy.write(`GET /v1/models HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
    await read.until('204')
    const began = performance.now()
    pass(301_000)
    await Promise.all([once(some, 'exit'), once(agents, 'exit')])
    t.ok(performance.now() - began < 310_000, 'within seconds')
    await aLook()
    t.equal(rig.worker.state().connections, 0)
  },
)

/** A process that opens so many TLS connections through the worker and is silent on them, until all are closed. */
async function idle(rig: Rig, count: number): Promise<ChildProcess> {
  const agents = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    IDLE,
    `${rig.proxyPort}`,
    `${count}`,
    NAME,
  ])
  agents.stderr.pipe(process.stderr)
  await once(agents.stdout, 'data')
  return agents
}

const IDLE = `
  import { connect } from 'node:tls'
  const [port, count, servername] = process.argv.slice(1)
  let opened = 0, session
  const one = () => {
    if (opened >= count) return
    opened += 1
    const socket = connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false, session })
    socket.on('session', (given) => { session ??= given })
    socket.once('secureConnect', () => { ready += 1; if (ready == count) console.log('ready'); one() })
    socket.on('error', (error) => { if (ready < count) throw error })
    socket.resume()
  }
  let ready = 0
  for (let i = 0; i < 32; i++) one()
`
