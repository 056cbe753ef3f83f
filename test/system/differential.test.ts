/**
 * Generated exchanges go to the provider twice, straight and through the gateway: what the provider saw and what the
 * client saw must be the same bytes, and the records must have the same bodies.
 *
 * DIFFERENTIAL_COUNT exchanges (2,000), from DIFFERENTIAL_SEED (printed, another each time).
 */
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import path from 'node:path'
import { connect, createServer } from 'node:tls'
import t, { type Test } from 'tap'
import { openBodies } from '../../daemon/recorder/body-reader.ts'
import { parseLeaf } from '../../daemon/recorder/index/row.ts'
import { openIndex } from '../../daemon/recorder/index-reader.ts'
import type { ExchangeRecord } from '../../daemon/recorder/record.ts'
import { messagesOf } from '../../daemon/recorder/web-socket-body.ts'
import { internet, NAME, providerIdentity, startRig } from '../unit/proxy-rig.ts'
import { startMessage, temporaryDirectory } from '../unit/recorder-fixtures.ts'
import { startRecorder } from '../unit/recorder-process.ts'
import { http1 } from './differential/http1.ts'
import { Random } from './differential/random.ts'
import { Way } from './differential/run.ts'
import type { Conversation, Exchange, Protocol } from './differential/script.ts'
import { webSocket } from './differential/web-socket.ts'

t.setTimeout(280_000)

/** How often each protocol's turn comes. */
const protocols: readonly Protocol[] = [http1, http1, http1, webSocket]
const count = Number(process.env.DIFFERENTIAL_COUNT ?? 2000)
const seed = Number(process.env.DIFFERENTIAL_SEED ?? Date.now() % 2 ** 32)
const AT_ONCE = 8

const start = startMessage(temporaryDirectory())
const recorder = await startRecorder(start)
const straight = new Way()
const through = new Way()
const rig = await startRig({
  provider: (socket) => void through.provider(socket),
  recorderSocket: start.socket,
  startRecorder: false,
  // On a busy machine a hello may come late.
  sniffTimeoutMs: 10_000,
})
while (rig.worker.state().recorder === 'lost') await new Promise((resolve) => setTimeout(resolve, 5))
const server = createServer(
  { ...providerIdentity, ALPNProtocols: ['http/1.1'], allowHalfOpen: true },
  (socket) => void straight.provider(socket),
)
server.listen(0, '127.0.0.1')
await once(server, 'listening')
t.teardown(() => server.close())

async function straightOn(): Promise<Socket> {
  const { port } = server.address() as AddressInfo
  const socket = connect({ port, host: '127.0.0.1', servername: NAME, ca: [internet.certificatePem] })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket
}

interface Played {
  readonly conversation: Conversation
  readonly client: { readonly straight: Buffer; readonly through: Buffer }
}

async function playAll(): Promise<Played[]> {
  const random = new Random(seed)
  const played: Played[] = []
  let made = 0
  const one = async (): Promise<void> => {
    while (made < count) {
      const conversation = random.pick(protocols)(random, made + 1)
      made += conversation.exchanges.length
      const client = {
        straight: await straight.client(conversation, await straightOn()),
        through: await through.client(conversation, await rig.agent()),
      }
      played.push({ conversation, client })
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
  return played
}

const played = await playAll()
const exchanges = played.flatMap(({ conversation }) => conversation.exchanges)

/** Fails with the first difference's place, and what stands there. */
function same(t: Test, got: Buffer | undefined, wanted: Buffer | undefined, what: string): boolean {
  if (got && wanted && got.equals(wanted)) return true
  const length = Math.min(got?.length ?? 0, wanted?.length ?? 0)
  let offset = 0
  while (offset < length && got?.[offset] === wanted?.[offset]) offset++
  const around = (bytes?: Buffer) => bytes?.subarray(Math.max(0, offset - 40), offset + 40).toString('latin1')
  t.fail(`${what} (seed ${seed})`, {
    offset,
    lengths: [got?.length, wanted?.length],
    got: around(got),
    wanted: around(wanted),
  })
  return false
}

t.test(`clients and provider see the same bytes as without the gateway, seed ${seed}`, async (t) => {
  t.same([straight.failures, through.failures], [[], []])
  let equal = 0
  for (const { conversation, client } of played) {
    const { protocol, exchanges } = conversation
    const ids = exchanges.map(({ id }) => id)
    if (!same(t, client.through, client.straight, `what the client of ${protocol} ${ids} got`)) continue
    for (const { id } of exchanges) {
      const what = `what the provider got of ${protocol} ${id}`
      if (same(t, through.requests.get(id), straight.requests.get(id), what)) equal += 1
    }
  }
  const by = Map.groupBy(played, ({ conversation }) => conversation.protocol)
  for (const [protocol, some] of by) {
    t.comment(
      `${protocol}: ${some.reduce((sum, { conversation }) => sum + conversation.exchanges.length, 0)}`,
    )
  }
  t.equal(equal, exchanges.length)
  t.ok(exchanges.length >= count)
})

t.test('the records have the bodies', async (t) => {
  await rig.stop()
  t.equal(await recorder.stop(), 0)
  const directory = path.join(start.stateDir)
  const index = openIndex(directory)
  const bodies = openBodies(directory, start.bodyKey)
  const records = Map.groupBy(
    index.list({ limit: 1_000_000, kind: 'exchange' }).map(({ bytes }) => parseLeaf(bytes) as ExchangeRecord),
    ({ http }) => Number(/\/d\/(\d+)/.exec(http.target ?? '')?.[1]),
  )
  const read = (part: { digest: string; size: number } | undefined) =>
    part === undefined ? Buffer.alloc(0) : bodies.read(part.digest).bytes
  let equal = 0
  for (const exchange of exchanges) {
    const found = (records.get(exchange.id) ?? []).reverse()
    if (exchange.messages ? messagesAreStored(exchange, found) : bodiesAreStored(exchange, found)) equal += 1
  }
  t.equal(equal, exchanges.length)
  bodies.close()
  index.close()

  function bodiesAreStored({ id, stored }: Exchange, [record, ...more]: ExchangeRecord[]): boolean {
    if (!record || more.length > 0) {
      t.fail(`${id} has ${more.length + (record ? 1 : 0)} records`)
      return false
    }
    const response = read(record.response?.body)
    const wanted = stored.prefix ? stored.response.subarray(0, response.length) : stored.response
    const request = same(t, read(record.request.body), stored.request, `the stored request of ${id}`)
    return request && same(t, response, wanted, `the stored response of ${id}`)
  }

  function messagesAreStored({ id, messages }: Exchange, found: ExchangeRecord[]): boolean {
    const turns = found
      .filter(({ webSocket }) => webSocket)
      .sort((a, b) => (a.webSocket?.turn ?? 0) - (b.webSocket?.turn ?? 0))
    const said = (body: Buffer) =>
      [...messagesOf(body)].filter(({ kind }) => kind !== 'close').map((m) => m.bytes)
    const client = turns.flatMap(({ request }) => said(read(request.body)))
    const server = turns.flatMap(({ response }) => said(read(response?.body)))
    const counts = [found.length, client.length, server.length]
    const wanted = [turns.length + 1, messages?.client.length, messages?.server.length]
    if (turns.length === 0 || String(counts) !== String(wanted)) {
      t.same(counts, wanted, `${id}: records, and messages of each side`)
      return false
    }
    return (
      client.every((bytes, i) => same(t, bytes, messages?.client[i], `what the client of ${id} said`)) &&
      server.every((bytes, i) => same(t, bytes, messages?.server[i], `what the server of ${id} said`))
    )
  }
})
