/** Generated exchanges over HTTP/2, directly and through a worker: both ends must have seen the same. */
import { randomBytes } from 'node:crypto'
import { type ClientHttp2Session, connect } from 'node:http2'
import { connect as connectTls } from 'node:tls'
import fc from 'fast-check'
import t from 'tap'
import { type Answered, answered, h2Agent, startH2Rig } from './h2-rig.ts'
import { internet, NAME, rulesOf } from './proxy-rig.ts'

const RUNS = 60
const AT_ONCE = 8

/** None of nothing: node:http2 may not end a stream after that. */
const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40_000 })), {
  maxLength: 6,
})
const fields = fc.array(
  fc.tuple(fc.constantFrom('x-a', 'x-b', 'x-long', 'accept', 'cookie'), fc.oneof(fc.nat(3), fc.nat(3000))),
  { maxLength: 10 },
)
/** What one exchange is to be; the provider reads its half from the request. */
const plan = fc.record({
  method: fc.constantFrom('POST', 'PUT', 'GET', 'DELETE'),
  request: sizes,
  fields,
  status: fc.constantFrom(200, 201, 404, 500),
  answer: sizes,
  trailers: fc.boolean(),
  early: fc.boolean(),
  reset: fc.constantFrom(0, 0, 0, 0, 2, 11),
})
type Plan = typeof plan extends fc.Arbitrary<infer Value> ? Value : never

const HELD = { name: 'held', action: 'block', content: ['secrets'] } as const

interface Outcome {
  readonly seen: unknown
  readonly got: unknown
}

for (const [name, rules] of [
  ['480 generated exchanges, eight at once', []],
  ['… and where each body is held back until it is judged', [HELD]],
] as const)
  t.test(name, async (t) => {
    const seen = new Map<string, { raw: string[]; body: string }>()
    const rig = await startH2Rig(
      async (stream, headers, raw) => {
        const id = `${headers['x-id']}`
        const { status, answer, trailers, early, reset } = JSON.parse(`${headers['x-plan']}`) as Plan
        const mine = { raw: raw.filter((text) => text !== id), body: '' }
        seen.set(id, mine)
        // What is reset at once is never sent for certain.
        if (early && reset === 0) stream.additionalHeaders({ ':status': 103, link: '</early>' })
        for await (const bytes of stream) mine.body += (bytes as Buffer).toString('latin1')
        if (reset > 0) {
          stream.close(reset)
          return
        }
        stream.respond({ ':status': status, date: 'now', 'x-same': 'same' }, { waitForTrailers: trailers })
        if (trailers)
          stream.once('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1', 'grpc-status': '0' }))
        for (const size of answer) stream.write(Buffer.alloc(size, 'a'))
        stream.end()
      },
      { rules: rulesOf('standard', { traffic: { rules: [...rules] } }) },
    )
    t.teardown(() => rig.stop())
    const direct = connect(`https://${NAME}`, {
      createConnection: () =>
        connectTls({
          host: '127.0.0.1',
          port: rig.providerPort,
          servername: NAME,
          ca: [internet.certificatePem],
          ALPNProtocols: ['h2'],
        }),
    })
    t.teardown(() => direct.destroy())
    const through = await h2Agent(rig)

    const make = async (session: ClientHttp2Session, one: Plan): Promise<Outcome> => {
      const id = randomBytes(8).toString('hex')
      const named: Record<string, string[]> = {}
      for (const [name, length] of one.fields) named[name] = [...(named[name] ?? []), 'v'.repeat(length)]
      const bodyless = one.method === 'GET' || one.method === 'DELETE'
      const stream = session.request(
        {
          ...{ ':method': one.method, ':scheme': 'https', ':authority': NAME, ':path': '/v1/responses' },
          'x-id': id,
          'x-plan': JSON.stringify(one),
          ...named,
        },
        { endStream: bodyless },
      )
      const whole = answered(stream)
      if (!bodyless) {
        for (const size of one.request) stream.write(Buffer.alloc(size, 'r'))
        stream.end()
      }
      return { seen: id, got: tidy(await whole) }
    }
    const both = (one: Plan) => Promise.all([make(direct, one), make(through, one)])
    await fc.assert(
      fc.asyncProperty(fc.array(plan, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (plans) => {
        for (const [one, other] of await Promise.all(plans.map(both))) {
          const difference = differs(one.got, other.got) ?? differs(take(seen, one), take(seen, other))
          if (difference) throw new Error(difference)
        }
      }),
      { numRuns: RUNS, endOnFailure: true },
    )
    await rig.recorder.ended(RUNS * AT_ONCE - 1)
    t.pass('the same at both ends')
  })

const tidy = ({ rawHeaders, informational, trailers, body, code }: Answered) => ({
  rawHeaders,
  informational,
  trailers,
  body: body.toString('latin1'),
  code,
})

function take(seen: Map<string, unknown>, { seen: id }: Outcome): unknown {
  return seen.get(`${id}`)
}

/** Says where, not all of it. */
function differs(one: unknown, other: unknown): string | undefined {
  const [a, b] = [JSON.stringify(one), JSON.stringify(other)]
  if (a === b) return undefined
  let at = 0
  while (a[at] === b[at]) at += 1
  const shown = (text: string) => text.slice(Math.max(0, at - 60), at + 60)
  return `directly …${shown(a)}…, through the worker …${shown(b)}…`
}
