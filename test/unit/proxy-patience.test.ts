/** What an HTTP/1.1 peer that stops reading or answering can hold on to, and what the records say of it. */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import t from 'tap'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { aLook, pass, restoreClock } from './proxy-clock.ts'
import { answering, NAME, type Rig, reading, startRig } from './proxy-rig.ts'

t.setTimeout(120_000)
t.teardown(restoreClock)

const GET = `GET /v1/models HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`
const BLOCK = Buffer.alloc(1 << 16, 'y')

/** Waits for what nothing tells. */
async function until(what: string, met: () => boolean, timeout = 5000): Promise<void> {
  for (const end = Date.now() + timeout; !met(); ) {
    if (Date.now() > end) throw new Error(`waited for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Waits until a count has stood still for a while. */
async function still(count: () => number): Promise<void> {
  let last = -1
  for (let times = 0; times < 20; times++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    if (count() !== last) times = 0
    last = count()
  }
}

const asked = (rig: Rig) => rig.recorder.frames.some(({ type }) => type === FrameType.RequestEnd)

t.test(
  'an agent that takes nothing of its answer for 300 seconds is cut, and its record says so',
  async (t) => {
    const size = 64 << 20
    const rig = await startRig({
      provider: answering((_, socket) => {
        let sent = 0
        const more = () => {
          while (sent < size) {
            sent += BLOCK.length
            if (!socket.write(BLOCK)) return void socket.once('drain', more)
          }
        }
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
        more()
        return undefined
      }),
    })
    t.teardown(() => rig.stop())
    let recorded = 0
    rig.recorder.bodies = ({ payload }) => {
      recorded += payload.length
    }
    const agent = await rig.agent()
    agent.write(GET)
    await still(() => recorded)
    const first = recorded
    t.ok(first > 0 && first < size, 'the provider waits for the agent')
    pass(250_000)
    await aLook()
    let got = 0
    agent.on('data', (bytes) => {
      got += bytes.length
      if (got > first) agent.pause()
    })
    await until('it to read again', () => got > first)
    await still(() => recorded)
    pass(250_000)
    await aLook()
    t.equal(rig.provided[0]?.destroyed, false, 'one that reads a little goes on')
    pass(60_000)
    t.match((await rig.recorder.ended()).end, {
      outcome: 'client-aborted',
      error: { code: 'answer_timeout', message: 'the agent took nothing more of its answer' },
    })
    await until('the provider’s connection to be closed', () => rig.provided[0]?.destroyed === true)
    pass(3000)
    await until('the agent’s connection to be closed', () => rig.worker.state().connections === 0)
  },
)

t.test('what a tunnel’s agent sends is no sign that it reads', async (t) => {
  const rig = await startRig({
    provider: answering((_, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: unknown\r\n\r\n')
      const more = () => {
        while (socket.write(BLOCK)) {}
        socket.once('drain', more)
      }
      more()
      return undefined
    }),
  })
  t.teardown(() => rig.stop())
  let recorded = 0
  rig.recorder.bodies = ({ type, payload }) => {
    if (type === FrameType.ResponseBody) recorded += payload.length
  }
  const agent = await rig.agent()
  agent.write(GET.replace('\r\n\r\n', '\r\nConnection: Upgrade\r\nUpgrade: unknown\r\n\r\n'))
  await until('the tunnel', () => recorded > 0)
  await still(() => recorded)
  pass(250_000)
  agent.write('still here')
  await aLook()
  pass(60_000)
  t.match((await rig.recorder.ended()).end, { outcome: 'client-aborted', error: { code: 'answer_timeout' } })
})

t.test('a slow reader gets the end of an answer with which the connection closes', async (t) => {
  const rig = await startRig({
    tls: false,
    provider: answering((_, socket) => {
      socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n')
      return undefined
    }),
  })
  t.teardown(() => rig.stop())
  let recorded = 0
  rig.recorder.bodies = ({ payload }) => {
    recorded += payload.length
  }
  const agent = await rig.plain()
  agent.write(GET)
  await until('the provider', () => rig.provided.length === 1)
  const [own] = rig.accepted as [Socket]
  const [provider] = rig.provided as [Socket]
  // Less than stops the reading from the provider, so that its end comes.
  const piece = 8192
  for (let sent = piece; own.writableLength === 0; sent += piece) {
    provider.write(`${piece.toString(16)}\r\n${'z'.repeat(piece)}\r\n`)
    await rig.recorder.until(() => recorded >= sent)
    await new Promise((resolve) => setImmediate(resolve))
  }
  provider.write('0\r\n\r\n')
  t.match((await rig.recorder.ended()).end, { outcome: 'complete' })
  t.ok(own.writableLength > 0, 'the agent’s system has not taken all of it')
  pass(60_000)
  await aLook()
  const read = reading(agent)
  await read.until('end', 20_000)
  t.ok(read.text.endsWith('\r\n0\r\n\r\n'), 'the end came')
})

t.test(
  'a provider that takes nothing of the request for 300 seconds is 502, and it is its fault',
  async (t) => {
    const rig = await startRig({ provider: (socket) => socket.pause() })
    t.teardown(() => rig.stop())
    let recorded = 0
    rig.recorder.bodies = ({ payload }) => {
      recorded += payload.length
    }
    const agent = await rig.agent()
    const read = reading(agent)
    const size = 64 << 20
    agent.write(`POST /v1/files HTTP/1.1\r\nHost: ${NAME}\r\nContent-Length: ${size}\r\n\r\n`)
    const more = () => {
      while (agent.write(BLOCK)) {}
      agent.once('drain', more)
    }
    more()
    await until('the body', () => recorded > 0)
    await still(() => recorded)
    t.ok(recorded < size, 'the agent waits for the provider')
    pass(301_000)
    await read.until('end')
    t.match(read.text, /^HTTP\/1.1 502 .*upstream_closed.*api.openai.com took nothing more of the request/s)
    t.match((await rig.recorder.ended()).end, {
      outcome: 'upstream-aborted',
      error: { code: 'upstream_closed' },
    })
  },
)

t.test(
  'a provider that is silent, or stops in its head, holds nothing once the agent has gone',
  async (t) => {
    for (const [what, said] of [
      ['silent', ''],
      ['in its head', 'HTTP/1.1 200 OK\r\nX-Slow: '],
      ['before its body', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n'],
    ]) {
      const rig = await startRig({ tls: false, provider: answering(() => said) })
      const agent = await rig.plain()
      agent.write(GET)
      await rig.recorder.until(() => asked(rig))
      pass(100_000_000)
      await aLook()
      t.equal(rig.provided[0]?.destroyed, false, `${what}: the agent decides how long it waits`)
      agent.resetAndDestroy()
      t.match((await rig.recorder.ended()).end, { outcome: 'client-aborted' })
      await until('the provider’s connection to end', () => rig.provided[0]?.readableEnded === true)
      t.equal(rig.worker.state().connections, 0)
      await rig.stop()
    }
  },
)

t.test(
  'an agent that ended its side is taken for gone after 300 seconds without a byte for it',
  async (t) => {
    const rig = await startRig({ provider: (socket) => socket.resume() })
    t.teardown(() => rig.stop())
    const half = await rig.agent()
    const read = reading(half)
    half.end(GET)
    await until('the end to be passed on', () => rig.provided[0]?.readableEnded === true)
    for (let i = 0; i < 2; i++) {
      pass(250_000)
      await aLook()
      rig.provided[0]?.write('HTTP/1.1 103 Early Hints\r\n\r\n')
      await read.until((i + 1) * 'HTTP/1.1 103 Early Hints\r\n\r\n'.length)
    }
    rig.provided[0]?.write('HTTP/1.1 204 No Content\r\n\r\n')
    await read.until('204 No Content')
    t.match(
      (await rig.recorder.ended()).end,
      { outcome: 'complete' },
      'one that only sends no more is served',
    )

    const gone = await rig.agent()
    gone.write(GET)
    await until('its request', () => (rig.provided[1]?.bytesRead ?? 0) > 0)
    // What is left of a process that ended: its system answers, and nobody reads.
    gone.destroy()
    await until('the end to be passed on', () => rig.provided[1]?.readableEnded === true)
    pass(301_000)
    t.match((await rig.recorder.ended(1)).end, {
      outcome: 'client-aborted',
      error: {
        code: 'answer_timeout',
        message: /^the agent may be gone, and api.openai.com said nothing/,
      },
    })
    await until('the agents’ connections to be closed', () => rig.worker.state().connections === 0)
    await until('the provider’s to be closed', () => {
      // What it reads is over already: only what it writes tells.
      rig.provided[1]?.write('who hears this?')
      return rig.provided[1]?.destroyed === true
    })
  },
)

t.test('a pipelining agent, whose end is not read, is taken for gone in the same way', async (t) => {
  const rig = await startRig({ provider: (socket) => socket.resume() })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  agent.write(GET + GET)
  await rig.recorder.until(() => asked(rig))
  agent.destroy()
  await aLook()
  t.equal(rig.worker.state().connections, 1)
  pass(301_000)
  t.match((await rig.recorder.ended()).end, { outcome: 'client-aborted', error: { code: 'answer_timeout' } })
  pass(3000)
  await until('it to be closed', () => rig.worker.state().connections === 0)
})

t.test('the kernel asks both sides whether they still stand, where one waits for the other', async (t) => {
  const rig = await startRig({ provider: (socket) => socket.resume() })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  agent.write(GET)
  await until('the provider', () => rig.provided.length > 0)
  const [provider] = rig.provided as [Socket]
  const own = [
    [rig.proxyPort, agent.localPort],
    [provider.remotePort, rig.providerPort],
  ] as const
  await until('acknowledgements', () => own.every(([from, to]) => timerOf(from, to)?.kind === 'keepalive'))
  t.equal(rig.worker.state().connections, 1, 'it is still waited for')
  for (const [from, to] of own) t.ok((timerOf(from, to)?.seconds ?? 1e9) <= 60)
})

/** What the kernel waits for on a connection of this machine's (proc(5), /proc/net/tcp). */
function timerOf(from = 0, to = 0): { readonly kind: string; readonly seconds: number } | undefined {
  const port = (n: number) => n.toString(16).toUpperCase().padStart(4, '0')
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n')) {
    const [, local = '', remote = '', , , timer = ''] = line.trim().split(/\s+/)
    if (!local.endsWith(`:${port(from)}`) || !remote.endsWith(`:${port(to)}`)) continue
    const [kind = '', ticks = ''] = timer.split(':')
    return { kind: kind === '02' ? 'keepalive' : kind, seconds: Number.parseInt(ticks, 16) / 100 }
  }
  return undefined
}

t.test('more than 512 fields are refused on both legs', async (t) => {
  const many = Array.from({ length: 513 }, (_, i) => `X-${i}: 1\r\n`).join('')
  const rig = await startRig({ provider: answering(() => `HTTP/1.1 200 OK\r\n${many}\r\n`) })
  t.teardown(() => rig.stop())
  const agent = reading(await requested(rig, GET.replace('\r\n\r\n', `\r\n${many}\r\n`)))
  await agent.until('end')
  t.match(agent.text, /^HTTP\/1.1 431 .*head_too_large/s)
  const other = reading(await requested(rig, GET))
  await other.until('end')
  t.match(other.text, /^HTTP\/1.1 502 .*upstream_protocol_error/s)
  t.equal(rig.provided.filter(({ bytesRead }) => bytesRead > 0).length, 1, 'only the second was forwarded')
})

async function requested(rig: Rig, request: string): Promise<Socket> {
  const agent = await rig.agent()
  agent.write(request)
  return agent
}
