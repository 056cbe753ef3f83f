/**
 * HTTP/2 end to end: the same calls of real clients directly and through the gateway; what the provider saw and what
 * the client got must be the same, and the records must say it.
 */
import t from 'tap'
import { OPENAI } from '../lab/addresses.ts'
import { chatCall, curlCommand } from '../lab/client-commands.ts'
import { enterLab } from '../lab/enter.ts'
import { type Gateway, startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'
import { NODE, REPOSITORY } from '../lab/places.ts'
import { BUNDLE } from '../lab/trust.ts'

await enterLab(import.meta.url)
t.setTimeout(120_000)
const lab = await startLab()
await lab.ask({ type: 'http2', site: OPENAI.name, on: true })

const KEY = 'sk-proj-http2-T3sTk3yT3sTk3y'
const env = { GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: BUNDLE }
const grpc = (method: string, text: string) => [
  NODE,
  `${REPOSITORY}/test/lab/clients/grpc.mjs`,
  JSON.stringify({ host: OPENAI.name, method, text, key: KEY }),
]
const curl = (prompt: string, stream: boolean) =>
  curlCommand(chatCall(KEY, prompt, stream), ['--http2', '-H', 'x-lab-order: 2', '-H', 'x-lab-Again: 1'])

/** Each is known by a text that its request holds. */
const calls = [
  { text: 'a chat over two', argv: curl('a chat over two', false), status: 200 },
  { text: 'a stream over two', argv: curl('a stream over two', true), status: 200 },
  { text: 'long '.repeat(15_000), argv: curl('long '.repeat(15_000), false), status: 200 },
  { text: 'said once', argv: grpc('Say', 'said once'), status: 200 },
  { text: 'said thrice', argv: grpc('Repeat', 'said thrice'), status: 200 },
  { text: 'never said', argv: grpc('Nothing', 'never said'), status: 200 },
]

/** What the provider makes anew for each answer. */
const masked = (text: string) =>
  text.replace(/req_[0-9a-f]+|chatcmpl-\w+/g, 'SERIAL').replace(/^date: .*$/m, 'date: NOW')

interface Seen {
  readonly client: string
  readonly code: number | null
  readonly head: string
  readonly body: string
}

async function made({ text, argv }: (typeof calls)[number], count: number): Promise<Seen> {
  const { code, stdout, stderr } = await lab.run('agent1', argv, { env })
  const end = Date.now() + 5000
  for (;;) {
    const seen = (await lab.wireLog())
      .flatMap(({ exchanges }) => exchanges)
      .filter(({ body }) => body.includes(text))
    const last = seen[count - 1]
    if (last)
      return { client: masked(stdout) + stderr, code, head: last.head.toString(), body: last.body.toString() }
    if (Date.now() > end)
      throw new Error(`the provider saw nothing of ${text.slice(0, 20)}: ${stdout}${stderr}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const direct: Seen[] = []
let gateway: Gateway
t.teardown(async () => {
  await gateway?.stop()
  await lab.stop()
})

t.test('curl and gRPC speak HTTP/2 with the provider directly', async (t) => {
  for (const call of calls) direct.push(await made(call, 1))
  t.match(direct[0]?.client, /^HTTP\/2 200/)
  t.match(direct[0]?.head, /x-lab-order: 2\r\nx-lab-again: 1\r\n/)
  t.match(JSON.parse(direct[4]?.client ?? ''), {
    ok: true,
    said: Array(3).fill('said thrice'),
    trailing: 'trailing',
  })
  t.match(JSON.parse(direct[5]?.client ?? ''), { ok: false, error: { code: 12 } })
})

t.test('through the gateway the provider sees and the client gets the same, byte for byte', async (t) => {
  gateway = await startGateway()
  for (const [i, call] of calls.entries()) {
    const seen = await made(call, 2)
    const what = call.text.slice(0, 20)
    t.equal(seen.client, direct[i]?.client, `${what}: what the client got`)
    t.equal(seen.code, direct[i]?.code)
    t.equal(seen.head, direct[i]?.head, `${what}: fields in their order`)
    t.ok(seen.body === direct[i]?.body, `${what}: the body`)
  }
})

t.test('each stream is a record with what was sent, and without the key', async (t) => {
  const rows = async () =>
    (await gateway.json('records', '--kind', 'exchange', '--limit', '100')).records as {
      id: string
      status: number
      model: string
      outcome: string
      provider: string
      record: { http: { method: string; target: string } }
    }[]
  const end = Date.now() + 10_000
  while ((await rows()).length < calls.length && Date.now() < end)
    await new Promise((go) => setTimeout(go, 50))
  const found = new Map<string, string>()
  for (const { id, status, outcome, provider, record } of await rows()) {
    t.match({ status, outcome, provider }, { status: 200, outcome: 'complete', provider: 'openai' })
    t.equal(record.http.method, 'POST')
    const bodies = (await gateway.json('show', id, '--bodies')).bodies as Record<string, string>
    const part = (name: string) => Buffer.from(bodies[name] ?? '', 'base64').toString('latin1')
    const call = calls.find(({ text }) => part('request.body').includes(text))
    found.set(call?.text ?? '', id)
    const wire = direct[call ? calls.indexOf(call) : -1]
    t.equal(part('request.body'), wire?.body)
    t.equal(
      part('request.head'),
      wire?.head.replace(KEY, /fp_[0-9a-f]{32}/.exec(part('request.head'))?.[0] ?? ''),
    )
    t.match(part('response.head'), /^:status: 200\r\n/)
    if (record.http.target.startsWith('/lab.Echo/'))
      t.match(part('response.head'), /\r\n\r\ngrpc-status: \d+\r\n/)
  }
  t.equal(found.size, calls.length)
  const chats = (await rows()).filter(({ model }) => model === 'gpt-4o-mini')
  t.equal(chats.length, 3, 'and the chats are read as over HTTP/1.1')
})
