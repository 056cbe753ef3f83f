/**
 * The presets end to end, with real agents and three chains: an answer that is held comes when its record stands on the
 * chains and not before; what fails fails closed, says why, and loses nothing.
 */
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { readLiveState } from '../../cli/live-state.ts'
import { decodeHead, encode } from '../../daemon/chain-writer/registry.ts'
import type { LogRecord } from '../../daemon/recorder/record.ts'
import { EVM_PORT, OPENAI } from '../lab/addresses.ts'
import { enterLab } from '../lab/enter.ts'
import { type EvmNode, startEvmNode } from '../lab/evm-node.ts'
import { type Gateway, startGateway } from '../lab/gateway.ts'
import { caused, remedied } from '../lab/health.ts'
import { startLab } from '../lab/lab.ts'
import { NODE, REPOSITORY } from '../lab/places.ts'

t.setTimeout(280_000)
await enterLab(import.meta.url)
const lab = await startLab()
await lab.ask({ type: 'http2', site: OPENAI.name, on: true })
const CHAIN_ID = 31_337
const nodes = await Promise.all([0, 1, 2].map((i) => startEvmNode(EVM_PORT + i, CHAIN_ID + i)))
const [first, second, third] = nodes as [EvmNode, EvmNode, EvmNode]

async function ask(node: EvmNode, method: string, ...params: unknown[]): Promise<unknown> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })
  const argv = ['curl', '-sS', '-m', '10', '-H', 'content-type: application/json', '-d', body, node.url]
  const { stdout, stderr } = await lab.run('root', argv)
  const { result } = JSON.parse(stdout || '{}') as { result?: unknown }
  if (result === undefined) throw new Error(`${method}: ${stdout}${stderr}`)
  return result
}

const chains = nodes
  .map(
    (node, i) =>
      `  - {name: chain-${i}, kind: rpc, chainId: ${CHAIN_ID + i}, rpc: ['${node.url}'], confirmations: 1}\n`,
  )
  .join('')
const HOLD_MS = 15_000
const strict = `anchoring: {preset: strict, quorum: 2, maxHoldMs: ${HOLD_MS}}\nchains:\n${chains}`
const gateway: Gateway = await startGateway(strict)
t.teardown(async () => {
  await gateway.stop()
  for (const node of nodes) node.thaw()
  await Promise.all(nodes.map((node) => node.stop()))
  await lab.stop()
})

interface Status {
  readonly recorder?: {
    readonly treeSize: string
    readonly chain?: {
      readonly chains: readonly {
        readonly gatewayAddress: string
        readonly contract?: string
        readonly logKey: string
        readonly anchored?: { readonly size: string }
      }[]
    }
    readonly anchoring?: {
      readonly holding: number
      readonly blocked?: string
      readonly anchored: string
      readonly lagSeconds: number
    }
  }
  readonly health: readonly { readonly code: string; readonly title: string }[]
}
const states = async () => (await readLiveState(gateway.config)).health
const said = ({ recorder, health }: Status) =>
  JSON.stringify({ anchoring: recorder?.anchoring, health: health.map(({ title }) => title) }).slice(0, 1500)
const status = async () => (await gateway.json('status')) as unknown as Status
const until = async (what: string, holds: () => Promise<boolean>, ms = 40_000) => {
  const end = Date.now() + ms
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms: ${said(await status())}`)
    await sleep(200)
  }
}

interface Report {
  readonly ok: boolean
  readonly text?: string
  readonly heads?: readonly (string | null)[]
  readonly error?: { readonly class: string; readonly message: string; readonly status?: number }
}
type Api = 'json' | 'sse' | 'http2' | 'webSocket' | 'anthropic'
async function call(api: Api, prompt: string, looked: readonly object[] = []): Promise<Report> {
  const asked = JSON.stringify({ apiKey: 'sk-lab', api, prompt, chains: looked })
  const argv = [NODE, `${REPOSITORY}/test/lab/clients/held.mjs`, asked]
  const { stdout, stderr } = await lab.run('agent1', argv, { timeoutMs: 90_000 })
  if (stdout === '') throw new Error(`${api}: ${stderr}`)
  return JSON.parse(stdout) as Report
}

interface Row {
  readonly id: string
  readonly leaf: number
  readonly record: LogRecord
}
const records = async (kind: string): Promise<Row[]> =>
  ((await gateway.json('records', '--kind', kind, '-n', '100')) as unknown as { records: Row[] }).records
const blocked = async () => (await status()).recorder?.anchoring?.blocked
const holding = async () => (await status()).recorder?.anchoring?.holding ?? 0

/** Blocks are made every so many seconds on the two chains that live; 0: none, though they answer. */
const mine = (seconds: number) =>
  Promise.all([first, second].map((node) => ask(node, 'evm_setIntervalMining', seconds)))

t.test('strict: nothing is forwarded before there is anything to anchor on', async (t) => {
  await until('the chains say that they have no money for it', async () =>
    / holds 0, /.test((await blocked()) ?? ''),
  )
  const refused = await call('json', 'too early')
  t.match(refused.error, { status: 503, message: /anchoring/ })
  const [chain] = (await status()).recorder?.chain?.chains ?? []
  for (const node of [first, second, third])
    await ask(node, 'anvil_setBalance', chain?.gatewayAddress, '0x8ac7230489e80000')
  await until('calls go on by themselves', async () => (await blocked()) === undefined, 90_000)
})

t.test(
  'strict, two of three chains, one of them dead: each answer comes when two have its record',
  async (t) => {
    await until('every chain has a contract', async () =>
      ((await status()).recorder?.chain?.chains ?? []).every(({ contract }) => contract !== undefined),
    )
    await mine(2)
    third.freeze()
    const looked = ((await status()).recorder?.chain?.chains ?? [])
      .slice(0, 2)
      .map(({ contract, logKey }, i) => ({ rpc: nodes[i]?.url, to: contract, data: encode.head(logKey) }))
    const apis = ['json', 'sse', 'http2', 'webSocket'] as const
    const reports = await Promise.all(apis.map((api) => call(api, `a question by ${api}`, looked)))
    const rows = await records('exchange')
    for (const [i, api] of apis.entries()) {
      const { ok, text, heads, error } = reports[i] as Report
      t.ok(ok, `${api} is answered: ${JSON.stringify(error ?? text)}`)
      const row = rows.find(
        ({ record }) =>
          record.kind === 'exchange' &&
          record.http.target?.includes(`api=${api}`) &&
          (api !== 'webSocket' || record.webSocket?.turn === 1),
      )
      t.match(row?.record, { outcome: 'complete' }, `${api} is recorded`)
      const sizes = (heads ?? []).map((head) => (head === null ? 0n : decodeHead(head).size))
      for (const size of sizes)
        t.ok(
          size > BigInt(row?.leaf ?? 1e9),
          `${api}: leaf ${row?.leaf} stands in a tree of ${size} on the chain`,
        )
    }
  },
)

t.test(
  'strict, the chains make no blocks: held answers end with an error, new calls are refused, nothing is lost',
  async (t) => {
    const before = (await records('exchange')).length
    await mine(0)
    const [byOpenai, byAnthropic] = await Promise.all([
      call('json', 'into the void'),
      call('anthropic', 'into the void, too'),
    ])
    t.match(byOpenai.error, {
      class: 'APIError',
      status: 424,
      message: /not handed out.*not included within 15 s/,
    })
    t.match(byAnthropic.error, { class: 'APIError', status: 424, message: /not handed out/ })
    await until('new calls are refused', async () => (await blocked()) !== undefined)
    const refused = await call('anthropic', 'refused')
    t.match(refused.error, { status: 503, message: /no call is forwarded while anchoring is behind/ })
    await caused(t, states, 'anchoring.blocked')
    await mine(1)
    await until('calls go on by themselves', async () => (await blocked()) === undefined, 60_000)
    await remedied(t, states, 'anchoring.blocked')
    t.ok((await call('json', 'and on it goes')).ok)
    const rows = await records('exchange')
    t.equal(rows.length, before + 3, 'what was answered and not handed out is in the log all the same')
    const refusals = (await records('refusal')).map(({ record }) => ('rule' in record ? record.rule : ''))
    t.equal(refusals.filter((rule) => rule === 'anchoring/held').length, 2)
    t.ok(refusals.includes('anchoring/blocked'))
  },
)

t.test(
  'strict, recorder or proxy killed while an answer is held: the agent gets an error, the log says what was',
  async (t) => {
    for (const name of ['recorder', 'proxy'] as const) {
      await mine(0)
      const calling = call('json', `while the ${name} dies`)
      await until('an answer is held', async () => (await holding()) > 0)
      const children = (await gateway.state())?.children ?? []
      for (const { name: child, pid } of children)
        if (child.startsWith(name) && pid !== undefined) process.kill(pid, 'SIGKILL')
      const { ok, error } = await calling
      t.notOk(ok, `${name}: no answer`)
      t.ok(error?.message, `${error?.status ?? ''} ${error?.message}`)
      await mine(1)
      await until('all runs again', async () =>
        ((await gateway.state())?.children ?? []).every(({ state }) => state === 'running'),
      )
      await until(
        'calls go on',
        async () => (await status()).recorder !== undefined && !(await blocked()),
        60_000,
      )
      t.ok((await call('json', 'afterwards')).ok)
      const rows = await records('audit')
      t.ok(
        rows.some(
          ({ record }) =>
            record.kind === 'audit' &&
            record.event === 'child-died' &&
            String(record.detail.child).startsWith(name),
        ),
        `the log has the death of the ${name}`,
      )
    }
  },
)

t.test(
  'bounded, block-after: refusals begin after the lag and end by themselves, nothing is lost',
  async (t) => {
    await gateway.stop()
    const settings = `anchoring: {maxDelayMs: 1000, quorum: any, onFailure: {blockAfterMs: 6000}, maxLagMs: 4000}\nchains:\n${chains}`
    await (await import('node:fs/promises')).writeFile('/etc/agent-anchor/gateway.yaml', settings)
    await gateway.start()
    await until('anchoring is up', async () => (await status()).recorder?.anchoring?.lagSeconds === 0)
    for (const node of [first, second]) node.freeze()
    const answered = await call('json', 'the chains have stopped')
    t.ok(answered.ok, 'nothing is held')
    const began = Date.now()
    await caused(t, states, 'anchoring.lag')
    await until('calls are refused', async () => (await blocked()) !== undefined)
    t.ok(Date.now() - began > 3000, 'not before the lag')
    t.match((await call('json', 'too late')).error, {
      status: 503,
      message: /oldest record without an anchor/,
    })
    for (const node of [first, second]) node.thaw()
    await until('calls go on', async () => (await blocked()) === undefined, 60_000)
    t.ok((await call('json', 'and again')).ok)
    await remedied(t, states, 'anchoring.lag')
    await until('all of the log is anchored', async () => {
      const { recorder } = await status()
      return recorder?.anchoring?.lagSeconds === 0 && recorder.anchoring.anchored === recorder.treeSize
    })
    const { stdout } = await gateway.cli('metrics')
    t.match(stdout, /^agent_anchor_anchoring_lag_seconds 0$/m)
    t.match(stdout, /^agent_anchor_exchanges_total [1-9]/m)
    t.match(stdout, /^agent_anchor_chain_leaves\{chain="chain-0",finality="included"\} [1-9]/m)
    const log = await readFile('/var/log/agent-anchor/agent-anchor.log', 'utf8')
    t.notMatch(log, /unknown shape/)
  },
)
