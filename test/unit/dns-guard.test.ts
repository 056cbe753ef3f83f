/** The way of a question through the guard, with a made-up upstream and supervisor. */
import dnsPacket from 'dns-packet'
import fc from 'fast-check'
import t from 'tap'
import { Carrier } from '../../daemon/dns-guard/carrier.ts'
import type { Transport } from '../../daemon/dns-guard/exchange.ts'
import { GovernedNames } from '../../daemon/dns-guard/governed-names.ts'
import { Guard } from '../../daemon/dns-guard/guard.ts'
import { InFlight } from '../../daemon/dns-guard/in-flight.ts'
import { Learner } from '../../daemon/dns-guard/learner.ts'
import { NamePolicy } from '../../daemon/dns-guard/name-policy.ts'
import { type RefusedQuestion, type Sighting, Sightings } from '../../daemon/dns-guard/sightings.ts'
import type { AnswerEntry } from '../../daemon/wire/dns-answer.ts'
import { readMessage } from '../../daemon/wire/dns-message.ts'
import type { Query } from '../../daemon/wire/dns-query.ts'
import { loadPolicy, type Policy } from '../../policies/policy.ts'
import type { RulesInForce } from '../../policies/rules.ts'
import { shippedDirectory } from '../../policies/shipped.ts'
import {
  ALPN,
  ECH,
  HINT4,
  opt,
  serviceBinding,
  type WireMessage,
  wireMessage,
  wireName,
} from './dns-wire-fixture.ts'

const GOVERNED = 'api.openai.com'
const CLIENT = { address: '192.0.2.50', port: 5353 }

function rules(
  name: string,
  change: (policy: Policy) => Policy = (policy) => policy,
  ownHosts: string[] = [],
): RulesInForce {
  const loaded = loadPolicy({ dir: shippedDirectory, name })
  return { ...loaded, policy: change(loaded.policy), ownHosts }
}

interface Rig {
  readonly rules?: RulesInForce
  readonly answer?: (query: Query, transport: Transport) => WireMessage | undefined
  readonly learn?: (name: string, entries: readonly AnswerEntry[]) => Promise<boolean>
}

const address = (query: Query): WireMessage => ({
  question: query.question,
  answers: [{ name: '@12', type: 1, data: Buffer.from([203, 0, 113, 9]) }],
})

function rig({ rules: inForce = rules('strict'), answer = address, learn }: Rig = {}) {
  const asked: string[] = []
  const learned: [string, readonly AnswerEntry[]][] = []
  const refused: RefusedQuestion[] = []
  const complaints: string[] = []
  const guard = new Guard({
    rules: inForce,
    forwarder: {
      async ask(query, transport) {
        asked.push(query.question.name)
        const message = answer(query, transport)
        const read = message && readMessage(wireMessage(message))
        if (!read) throw new Error('silence')
        return read
      },
    },
    learner: {
      learn: (name, entries) => {
        learned.push([name, entries])
        return learn?.(name, entries) ?? Promise.resolve(true)
      },
    },
    refused: (question) => refused.push(question),
    asksLocally: () => false,
    complain: (what) => complaints.push(what),
  })
  const ask = async (
    name: string,
    more: Partial<WireMessage> & { type?: number; transport?: Transport } = {},
  ) => {
    const { type = 1, transport = 'udp', ...rest } = more
    const query = wireMessage({ id: 77, flags: 0x0100, question: { name, type }, ...rest })
    const reply = await guard.answer(query, CLIENT, transport)
    return reply && { ...dnsPacket.decode(reply), bytes: reply }
  }
  return { guard, ask, asked, learned, refused, complaints }
}

t.test('a governed name’s addresses are acknowledged before the client has its answer', async (t) => {
  const acknowledged = Promise.withResolvers<boolean>()
  const { ask, learned } = rig({ learn: () => acknowledged.promise })
  let released = false
  const reply = ask(GOVERNED).then((found) => {
    released = true
    return found
  })
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.same(learned, [[GOVERNED, [{ address: '203.0.113.9', ttlSeconds: 60 }]]])
  t.equal(released, false)
  acknowledged.resolve(true)
  t.match(await reply, { id: 77, rcode: 'NOERROR', answers: [{ data: '203.0.113.9' }] })
})

t.test('an answer that was not acknowledged is withheld', async (t) => {
  const { ask, guard } = rig({ learn: async () => false })
  t.match(await ask(GOVERNED), { rcode: 'SERVFAIL', answers: [] })
  t.match(guard.state(), { unlearned: 1 })
  t.match(await ask('example.org'), { rcode: 'NOERROR' }, 'others are not concerned')
})

t.test('names that lead to a governed one, or that one leads to, are learned under it', async (t) => {
  const { ask, learned } = rig({
    answer: (query) => {
      if (query.question.name === 'llm.corp.example')
        return {
          question: query.question,
          answers: [
            { name: '@12', type: 5, data: wireName(GOVERNED) },
            { name: GOVERNED, type: 1, data: Buffer.from([203, 0, 113, 1]) },
          ],
        }
      if (query.question.type === 65)
        return {
          question: query.question,
          answers: [{ name: '@12', type: 65, data: serviceBinding(1, 'edge.example.net', ALPN) }],
        }
      return address(query)
    },
  })
  await ask('llm.corp.example')
  t.equal(learned[0]?.[0], GOVERNED)
  await ask('edge.example.net')
  t.equal(learned.length, 1, 'nobody’s, so far')
  await ask(GOVERNED, { type: 65 })
  await ask('edge.example.net')
  t.same(learned[1], [GOVERNED, [{ address: '203.0.113.9', ttlSeconds: 60 }]])
})

t.test(
  'an answer comes without ech and AD, with the client’s id and spelling, its hints learned',
  async (t) => {
    const { ask, learned, guard } = rig({
      answer: (query) => ({
        id: 4242,
        flags: 0x81a0,
        question: query.question,
        answers: [{ name: '@12', type: 65, data: serviceBinding(1, '.', ALPN, HINT4, ECH) }],
      }),
    })
    const reply = await ask('API.openAI.com', { type: 65 })
    t.match(reply, { id: 77, flag_ad: false, questions: [{ name: 'API.openAI.com' }] })
    t.notOk(reply?.bytes.includes('ECHConfigList'))
    t.same(learned, [[GOVERNED, [{ address: '192.0.2.7', ttlSeconds: 60 }]]])
    t.equal(guard.state().echStripped, 1)
    t.notOk((await ask('example.org', { type: 65 }))?.bytes.includes('ECHConfigList'), 'whoever’s it is')
  },
)

t.test('a malformed service binding is not passed on', async (t) => {
  const { ask, complaints } = rig({
    answer: (query) => ({
      question: query.question,
      answers: [{ name: '@12', type: 65, data: Buffer.from([0, 1]) }],
    }),
  })
  t.match(await ask('example.org', { type: 65 }), { rcode: 'SERVFAIL' })
  t.match(complaints, [/malformed/])
})

t.test('a UDP answer never exceeds what the client takes; over TCP it comes whole', async (t) => {
  const { ask } = rig({
    answer: (query) => ({
      question: query.question,
      answers: [{ name: '@12', type: 16, data: Buffer.alloc(1980, 65) }],
    }),
  })
  const plain = await ask('example.org', { type: 16 })
  t.ok(plain && plain.bytes.length <= 512)
  t.match(plain, { flag_tc: true, answers: [] })
  const edns = await ask('example.org', { type: 16, additionals: [opt(65_535)] })
  t.ok(edns && edns.bytes.length <= 1232)
  t.match(await ask('example.org', { type: 16, transport: 'tcp' }), {
    flag_tc: false,
    answers: [{ type: 'TXT' }],
  })
})

t.test('questions that are alike are asked once, and each asker gets its own answer', async (t) => {
  const { ask, asked } = rig()
  const replies = await Promise.all([
    ask('example.org', { id: 1 }),
    ask('EXAMPLE.org', { id: 2 }),
    ask('example.org', { id: 3, type: 28 }),
  ])
  t.same(asked, ['example.org', 'example.org'])
  t.match(replies, [{ id: 1 }, { id: 2, questions: [{ name: 'EXAMPLE.org' }] }, { id: 3 }])
})

t.test(
  'when no server answers the client is told, and zone transfers and other classes are refused',
  async (t) => {
    const { ask, asked, complaints } = rig({ answer: () => undefined })
    t.match(await ask('example.org'), { rcode: 'SERVFAIL' })
    t.same(complaints, ['silence'])
    asked.length = 0
    t.match(await ask('example.org', { type: 252, transport: 'tcp' }), { rcode: 'REFUSED' })
    t.match(await ask('', { question: { name: 'version.bind', type: 16, class: 3 } }), { rcode: 'REFUSED' })
    t.same(asked, [])
  },
)

t.test('public resolvers don’t resolve, and clients that ask hear that there are none', async (t) => {
  const { ask, asked, refused } = rig()
  t.match(await ask('dns.google'), { rcode: 'NXDOMAIN' })
  t.match(refused, [{ rule: 'strict/dns-resolver', name: 'dns.google', client: CLIENT, protocol: 'udp' }])
  t.match(await ask('use-application-dns.net'), { rcode: 'NXDOMAIN' })
  t.match(await ask('_dns.resolver.arpa', { type: 64 }), { rcode: 'NXDOMAIN' })
  t.equal(refused.length, 1, 'a question whether it may is no attempt')
  t.same(asked, [])
})

t.test('under lockdown only what somebody may reach is asked for', async (t) => {
  const own = rules('lockdown', (policy) => policy, ['rpc.example.net'])
  const { ask, asked, refused } = rig({ rules: own })
  t.match(await ask(GOVERNED), { rcode: 'NOERROR' })
  t.match(await ask('rpc.example.net'), { rcode: 'NOERROR' })
  t.match(await ask(`_443._https.${GOVERNED}`, { type: 65 }), { rcode: 'NOERROR' })
  t.match(await ask('openai.com', { type: 48 }), { rcode: 'NOERROR' }, 'a validating resolver needs keys')
  t.match(await ask('.', { type: 48 }), { rcode: 'NOERROR' })
  asked.length = 0
  const reply = await ask('example.org', { additionals: [opt()] })
  t.match(reply, { rcode: 'NXDOMAIN', id: 77 })
  t.ok(reply?.bytes.includes('agent-anchor: lockdown/dns-traffic'))
  for (const name of [
    'com',
    'openai.com.evil.example',
    'xapi.openai.com.evil',
    '7.2.0.192.in-addr.arpa',
    'api\x01.openai.com',
  ])
    t.match(await ask(name), { rcode: 'NXDOMAIN' }, name)
  t.match(await ask(`_${'x'.repeat(20)}.${GOVERNED}.example`), { rcode: 'NXDOMAIN' })
  t.same(asked, [])
  t.equal(refused.length, 7)
})

t.test('a traffic rule that leaves a provider out leaves its name out', async (t) => {
  const { ask } = rig({
    rules: rules('lockdown', (policy) => ({
      ...policy,
      traffic: { default: 'block', rules: [{ name: 'one', action: 'allow', providers: ['anthropic'] }] },
    })),
  })
  t.match(await ask('api.anthropic.com'), { rcode: 'NOERROR' })
  t.match(await ask(GOVERNED), { rcode: 'NXDOMAIN' })
})

t.test('names that carry much are not asked for', async (t) => {
  const { ask, refused, asked } = rig()
  t.match(await ask(`${'a'.repeat(60)}.${'b'.repeat(60)}.exfil.example`), { rcode: 'NXDOMAIN' })
  t.match(refused, [{ rule: 'strict/dns-long-name', reason: /carries 122 octets below exfil.example/ }])
  t.match(await ask('ec2-203-0-113-25.eu-central-1.compute.amazonaws.com'), { rcode: 'NOERROR' })
  asked.length = 0
  for (let i = 0; i < 200; i += 1) await ask(`${String(i).padStart(60, 'x')}.exfil.example`)
  t.equal(asked.length, Math.floor(8192 / 61))
  await ask(`${'0'.padStart(60, 'x')}.exfil.example`)
  t.equal(asked.length, Math.floor(8192 / 61) + 1, 'what was asked for before still is')
  t.match(await ask('www.example.org'), { rcode: 'NOERROR' }, 'other zones are not concerned')
  const passing = rig({
    rules: rules('strict', (policy) => ({ ...policy, proxy: { ...policy.proxy, longNames: 'pass' } })),
  })
  t.match(await passing.ask(`${'a'.repeat(60)}.${'b'.repeat(60)}.exfil.example`), { rcode: 'NOERROR' })
})

t.test('accounts of zones end with their window, and made-up zones don’t clear one', async (t) => {
  let time = 0
  const carrier = new Carrier(() => time)
  const fill = () => {
    let sent = 0
    while (carrier.refuse('c', `${sent}.${'x'.repeat(50)}.exfil.example`) === undefined) sent += 1
    return sent
  }
  t.ok(fill() > 100)
  for (let i = 0; i < 2000; i += 1) carrier.refuse('c', `a.made-up-${i}.example`)
  t.ok(carrier.refuse('c', `again.${'x'.repeat(50)}.exfil.example`))
  t.equal(carrier.refuse('d', `again.${'x'.repeat(50)}.exfil.example`), undefined, 'each client has its own')
  t.equal(carrier.refuse('c', `again.${'x'.repeat(50)}.shop.co.uk`), undefined)
  time = 600_001
  t.ok(fill() > 100)
})

t.test('name rules hold without the catalogue’s: the default decides for what is no host name', async (t) => {
  const open = new NamePolicy(rules('strict'), new GovernedNames({ providers: [] }))
  t.equal(open.refuse('a\\032b.example', 16, 'c'), undefined)
  t.equal(open.refuse('.', 2, 'c'), undefined)
})

t.test('refusals are counted exactly, by client and name, then by zone, then by rule', async (t) => {
  const reports: Sighting[] = []
  const sightings = new Sightings((sighting) => reports.push(sighting), 3600_000)
  t.teardown(() => sightings.stop())
  const seen = (client: string, name: string) =>
    sightings.seen({
      rule: 'lockdown/dns-traffic',
      reason: 'r',
      protocol: 'udp',
      client: { address: client, port: 1 },
      name,
    })
  for (let i = 0; i < 5; i += 1) seen('a', 'x.example')
  t.match(reports, [{ name: 'x.example', count: 1, client: { address: 'a' } }], 'the first at once')
  sightings.flush()
  t.match(reports[1], { name: 'x.example', count: 4 })
  sightings.flush()
  t.equal(reports.length, 2, 'nothing new, nothing said')
  for (let i = 0; i < 1000; i += 1) seen('a', `${i}.exfil.example`)
  for (let i = 0; i < 3000; i += 1) seen('b', `x.zone-${i}.example`)
  sightings.flush()
  sightings.flush()
  t.equal(
    reports.reduce((sum, { count }) => sum + count, 0),
    4005,
  )
  t.ok(reports.some(({ name, count }) => name === '*.exfil.example' && count > 900))
  t.ok(reports.some(({ name, client }) => name === '*' && client === undefined))
  t.ok(reports.length < 900, 'kinds are bounded')
  seen('a', 'x.example')
  t.match(reports.at(-1), { name: 'x.example', count: 1 }, 'forgotten kinds make room')
})

t.test('learning waits for the acknowledgement of its own number, and not for ever', async (t) => {
  const asked: number[] = []
  const learner = new Learner(({ request }) => asked.push(request), 30)
  const [first, second] = [learner.learn('a', []), learner.learn('b', [])]
  learner.learned(asked[1] as number)
  learner.learned(999)
  t.same(await Promise.all([first, second]), [false, true])
  t.equal(await learner.learn('c', Array(257).fill({ address: '1.2.3.4', ttlSeconds: 1 })), false)
})

t.test('questions under way are bounded in all and for each client', async (t) => {
  const ends: (() => void)[] = []
  const begin = () => new Promise<number>((resolve) => ends.push(() => resolve(1)))
  const inFlight = new InFlight<number>({ jobs: 3, waiting: 5, ofClient: 3 })
  const joined = ['k1', 'k1', 'k2'].map((key) => inFlight.join('a', key, begin)?.joined)
  t.same(joined, [false, true, false])
  t.equal(inFlight.join('a', 'k1', begin), undefined, 'the client’s bound')
  t.ok(inFlight.join('b', 'k3', begin))
  t.equal(inFlight.join('b', 'k4', begin), undefined, 'the jobs’ bound')
  t.ok(inFlight.join('b', 'k1', begin))
  t.equal(inFlight.join('c', 'k1', begin), undefined, 'the bound in all')
  for (const end of ends.splice(0)) end()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(inFlight.join('a', 'k1', begin)?.joined, false, 'all have left')
  const failing = inFlight.join('a', 'bad', () => Promise.reject(new Error('x')))
  await failing?.result.catch(() => {})
  t.equal(inFlight.join('a', 'bad', begin)?.joined, false)
})

t.test('whatever is sent, the guard answers with at most what may be answered, or not at all', async (t) => {
  const { guard } = rig({ rules: rules('lockdown') })
  const seed = wireMessage({ flags: 0x0100, question: { name: GOVERNED, type: 1 }, additionals: [opt()] })
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), fc.nat(60), async (noise, at) => {
      const bytes = Buffer.concat([seed.subarray(0, at), Buffer.from(noise)])
      const reply = await guard.answer(bytes, CLIENT, 'udp')
      return (
        reply === undefined ||
        (reply.length <= 1232 &&
          reply.readUInt16BE(0) === bytes.readUInt16BE(0) &&
          (reply.readUInt16BE(2) & 0x8000) !== 0)
      )
    }),
    { numRuns: 3000 },
  )
  t.pass()
})
