/**
 * Flow control towards a provider while bodies are held back, changed, or pass: both ends by hand, with small windows and
 * room given in odd pieces. The provider never gets more than it gave room for, and at rest both ends' accounts agree.
 */
import fc from 'fast-check'
import t from 'tap'
import type { ExchangeHost } from '../../daemon/proxy/h2/exchange-host.ts'
import { DEFAULT_WINDOW, FLAG, frame, SETTING, TYPE } from '../../daemon/proxy/h2/frame.ts'
import { Outgoing } from '../../daemon/proxy/h2/outgoing.ts'
import { Outlet } from '../../daemon/proxy/h2/outlet.ts'
import { dataOf } from '../../daemon/proxy/h2/piece.ts'
import { Sender } from '../../daemon/proxy/h2/sender.ts'
import { ByHand } from './h2-rig.ts'
import { NAME, rulesOf, startRig } from './proxy-rig.ts'

/** Of each stream. */
const INITIAL = 3000
const KEY = `sk-proj-${'aB3xY9kQ'.repeat(6)}`
const KINDS = {
  held: { path: '/v1/chat/completions', text: '' },
  redacted: { path: '/v1/chat/completions', text: `${KEY} ` },
  passed: { path: '/v1/files', text: '' },
} as const

/** What may be sent by one end's word. */
class Account {
  connection = DEFAULT_WINDOW
  #initial: number
  readonly #streams = new Map<number, number>()

  constructor(initial = INITIAL) {
    this.#initial = initial
  }

  of(stream: number): number {
    return Math.min(this.connection, this.#streams.get(stream) ?? this.#initial)
  }

  begins(initial: number): void {
    for (const [stream, room] of this.#streams) this.#streams.set(stream, room + initial - this.#initial)
    this.#initial = initial
  }

  /** @param by what is given, or negative: what was sent */
  move(stream: number, by: number): void {
    if (stream > 0) this.#streams.set(stream, (this.#streams.get(stream) ?? this.#initial) + by)
    else this.connection += by
  }

  sent(stream: number, length: number): void {
    this.move(stream, -length)
    this.move(0, -length)
  }
}

class Provider {
  readonly end: ByHand
  readonly account: Account
  readonly bodies = new Map<number, Buffer>()
  readonly answered = new Set<number>()
  overrun = false
  received = 0
  #more = false
  #at = 0
  /** Not given back yet, by stream. */
  readonly #owes = new Map<number, number>()

  readonly #initial: number

  constructor(end: ByHand, initial = INITIAL) {
    this.end = end
    this.#initial = initial
    this.account = new Account(initial)
    this.begins(initial)
  }

  /** Only ever more: less would hold from its acknowledgement on. */
  begins(initial: number): void {
    this.account.begins(initial)
    const settings = Buffer.alloc(6)
    settings.writeUInt16BE(SETTING.initialWindowSize, 0)
    settings.writeUInt32BE(initial, 2)
    this.end.send(TYPE.settings, 0, 0, settings)
  }

  /** @param increments how much it gives back at a time */
  step(increments: number): void {
    for (; this.#at < this.end.frames.length; this.#at++) this.#take(this.end.frames[this.#at])
    for (const [stream, owed] of this.#owes) {
      const given = Math.min(owed, increments)
      if (given === 0) continue
      this.#owes.set(stream, owed - given)
      this.account.move(stream, given)
      this.end.windowUpdate(stream, given)
    }
  }

  #take(one: ByHand['frames'][number] | undefined): void {
    if (one?.type === TYPE.settings && !(one.flags & FLAG.acknowledged))
      this.end.send(TYPE.settings, FLAG.acknowledged, 0)
    if (one?.type !== TYPE.data) return
    this.received += one.payload.length
    if (this.received >= this.#initial && !this.#more) {
      this.#more = true
      this.begins(2 * this.#initial)
    }
    const { stream, payload, flags } = one
    if (payload.length > this.account.of(stream)) this.overrun = true
    this.account.sent(stream, payload.length)
    for (const owing of [0, stream]) this.#owes.set(owing, (this.#owes.get(owing) ?? 0) + payload.length)
    const content =
      flags & FLAG.padded ? payload.subarray(1, payload.length - (payload[0] as number)) : payload
    this.bodies.set(stream, Buffer.concat([this.bodies.get(stream) ?? Buffer.alloc(0), content]))
    if (!(flags & FLAG.endStream)) return
    this.end.headers(stream, [[':status', '200']])
    this.answered.add(stream)
  }
}

class Agent {
  readonly end: ByHand
  readonly account: Account
  readonly #left = new Map<number, Buffer>()
  readonly answers = new Set<number>()
  #at = 0

  constructor(end: ByHand, initial = INITIAL) {
    this.end = end
    this.account = new Account(initial)
    end.begin()
  }

  ask(stream: number, path: string, body: string): void {
    this.end.headers(
      stream,
      [
        [':method', 'POST'],
        [':scheme', 'https'],
        [':authority', NAME],
        [':path', path],
      ],
      false,
    )
    this.#left.set(stream, Buffer.from(body))
  }

  #begins(settings: Buffer): void {
    for (let at = 0; at < settings.length; at += 6) {
      if (settings.readUInt16BE(at) === SETTING.initialWindowSize)
        this.account.begins(settings.readUInt32BE(at + 2))
    }
    this.end.send(TYPE.settings, FLAG.acknowledged, 0)
  }

  step(largest: number, padding: number): void {
    for (; this.#at < this.end.frames.length; this.#at++) {
      const { type, stream, payload } = this.end.frames[this.#at] as (typeof this.end.frames)[number]
      if (type === TYPE.windowUpdate) this.account.move(stream, payload.readUInt32BE(0))
      if (type === TYPE.headers) this.answers.add(stream)
      if (type === TYPE.settings && payload.length > 0) this.#begins(payload)
    }
    for (const [stream, left] of this.#left) {
      const around = padding > 0 ? padding + 1 : 0
      const size = Math.min(largest, this.account.of(stream) - around, left.length)
      if (size <= 0) continue
      const rest = left.subarray(size)
      const flags = (padding > 0 ? FLAG.padded : 0) | (rest.length === 0 ? FLAG.endStream : 0)
      const pad = padding > 0 ? [Buffer.from([padding]), left.subarray(0, size), Buffer.alloc(padding)] : []
      this.end.send(TYPE.data, flags, stream, padding > 0 ? Buffer.concat(pad) : left.subarray(0, size))
      this.account.sent(stream, size + around)
      if (rest.length > 0) this.#left.set(stream, rest)
      else this.#left.delete(stream)
    }
  }
}

const kinds = fc.constantFrom<keyof typeof KINDS>('held', 'redacted', 'passed')
const plan = fc.record({
  requests: fc.array(fc.tuple(kinds, fc.integer({ min: 1, max: 20_000 })), { minLength: 1, maxLength: 6 }),
  increments: fc.integer({ min: 700, max: 5000 }),
  largest: fc.integer({ min: 300, max: 16_000 }),
  padding: fc.constantFrom(0, 0, 1, 200),
})

t.test('the provider never gets more than it takes, and at rest both accounts agree', async (t) => {
  let provider: Provider | undefined
  const rules = rulesOf('standard', {
    traffic: {
      rules: [{ name: 'r', action: 'redact', content: ['secrets'], paths: ['/v1/chat/*'] }],
    },
  })
  const rig = await startRig({
    alpn: ['h2'],
    rules,
    provider: (socket) => {
      provider = new Provider(new ByHand(socket, true))
    },
  })
  t.teardown(() => rig.stop())
  await fc.assert(
    fc.asyncProperty(plan, async ({ requests, increments, largest, padding }) => {
      const agent = new Agent(new ByHand(await rig.agent({ alpn: ['h2'] })))
      const bodies = requests.map(([kind, size]) => `{"a":"${KINDS[kind].text}${'x'.repeat(size)}"}`)
      await agent.end.frame(TYPE.settings)
      for (const [i, body] of bodies.entries())
        agent.ask(2 * i + 1, KINDS[(requests[i] as (typeof requests)[number])[0]].path, body)
      const peer = provider as Provider
      const atRest = () =>
        agent.answers.size === requests.length &&
        agent.account.connection === DEFAULT_WINDOW &&
        peer.account.connection === DEFAULT_WINDOW
      const end = Date.now() + 10_000
      while (!atRest() && !peer.overrun && Date.now() < end) {
        agent.step(largest, padding)
        peer.step(increments)
        await new Promise((resolve) => setImmediate(resolve))
      }
      agent.end.socket.destroy()
      if (peer.overrun) throw new Error('more than the provider gave room for')
      if (!atRest()) throw new Error(`agent ${agent.account.connection}, provider ${peer.account.connection}`)
      const wanted = bodies.map((body) =>
        body.includes(KEY) ? body.replace(KEY, '[redacted:openai-key]') : body,
      )
      const missing = wanted.filter(
        (body) => ![...peer.bodies.values()].some((got) => got.equals(Buffer.from(body))),
      )
      if (missing.length > 0)
        throw new Error(`the provider didn't get ${missing.map(({ length }) => length)}`)
    }),
    { numRuns: 20, endOnFailure: true },
  )
})

t.test('more room by the provider’s SETTINGS lets go on what waits', async (t) => {
  let provider: Provider | undefined
  const rules = rulesOf('standard', {
    traffic: { rules: [{ name: 'r', action: 'block', content: ['secrets'] }] },
  })
  const rig = await startRig({
    alpn: ['h2'],
    rules,
    provider: (socket) => {
      provider = new Provider(new ByHand(socket, true), 100)
    },
  })
  t.teardown(() => rig.stop())
  const agent = new Agent(new ByHand(await rig.agent({ alpn: ['h2'] })), 100)
  await agent.end.frame(TYPE.settings)
  agent.ask(1, '/v1/chat/completions', `"${'x'.repeat(198)}"`)
  while (agent.answers.size === 0) {
    agent.step(100, 0)
    provider?.step(0)
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(provider?.bodies.get(1)?.length, 200)
})

const HEAD = {
  kind: 'head',
  list: { fields: [], endStream: false, tooLong: false, priority: undefined },
} as const

t.test('what waits for the provider after its verdict counts as held until it is sent or given up', (t) => {
  const holding = { bytes: 0 }
  const sent: Buffer[] = []
  const outlet = new Outlet()
  const host = {
    outlet,
    shared: { holding },
    streams: { opened: () => 1, ofAgent: () => undefined },
    toProvider: new Sender((bytes) => sent.push(bytes)),
    returned: () => t.fail('the agent has its room back already'),
    discarded: () => t.fail('the agent has its room back already'),
  } as unknown as ExchangeHost
  const begin = () => {
    const exchange = { stream: 1, providerStream: 0, waitsForProvider: true }
    const outgoing = new Outgoing(host, exchange, () => {})
    outgoing.send(HEAD)
    for (const last of [false, true])
      outgoing.send({ kind: 'data', data: dataOf(Buffer.alloc(50_000), last), owed: true })
    return outgoing
  }
  const outgoing = begin()
  const left = 100_000 - DEFAULT_WINDOW
  t.equal(holding.bytes, left + 512, 'with what a piece costs besides')
  t.equal(outgoing.providerTakes(50_000), 0)
  t.equal(outlet.given(10), 0)
  outlet.flush()
  t.equal(holding.bytes, left - 10 + 512)
  t.notOk(outgoing.empty)
  outlet.given(50_000)
  outlet.flush()
  t.equal(holding.bytes, 0)
  t.ok(outgoing.empty)
  t.equal((sent.at(-1) as Buffer)[4], FLAG.endStream)
  const other = begin()
  t.ok(holding.bytes > 0)
  other.drop()
  t.equal(holding.bytes, 0)
  t.end()
})

t.test('a frame that doesn’t fit is cut; its padding stays here, and the agent has that room back', (t) => {
  const returned: [number, number][] = []
  const sent: Buffer[] = []
  const outlet = new Outlet()
  outlet.begins(100)
  const host = {
    outlet,
    shared: { holding: { bytes: 0 } },
    streams: { opened: () => 1, ofAgent: () => undefined },
    toProvider: new Sender((bytes) => sent.push(bytes)),
    returned: (stream: number, length: number) => returned.push([stream, length]),
  } as unknown as ExchangeHost
  const outgoing = new Outgoing(host, { stream: 7, providerStream: 0, waitsForProvider: true }, () => {})
  outgoing.send(HEAD)
  const payload = Buffer.concat([Buffer.from([30]), Buffer.alloc(120, 'x'), Buffer.alloc(30)])
  const raw = frame(TYPE.data, FLAG.padded | FLAG.endStream, 7, payload)
  const padded = { type: TYPE.data, flags: raw[4] as number, stream: 7, payload, raw }
  const data = { frame: padded, content: payload.subarray(1, 121), endStream: true }
  outgoing.send({ kind: 'data', data, owed: false })
  t.same(returned, [[7, 31]])
  t.equal(outgoing.providerTakes(20), 20)
  outlet.flush()
  const frames = sent.map((bytes) => [bytes.length - 9, bytes[4]]).slice(-2)
  t.same(frames, [
    [100, 0],
    [20, FLAG.endStream],
  ])
  t.ok(outgoing.empty)
  t.end()
})
