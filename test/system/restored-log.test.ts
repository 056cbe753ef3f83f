/**
 * A log that was put back from an older copy contradicts what is anchored on a chain out of its reach: it says so,
 * and is never anchored over the newer one.
 */
import { rmSync } from 'node:fs'
import t from 'tap'
import { EVM, EVM_PORT } from '../lab/addresses.ts'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'

t.setTimeout(180_000)
await enterLab(import.meta.url)
const lab = await startLab({ evm: true })
const rpc = `http://${EVM.address4}:${EVM_PORT}`

/** A JSON-RPC call to the laboratory's node, from the host's side. */
async function ask(method: string, ...params: unknown[]): Promise<string> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })
  const { stdout, stderr } = await lab.run('root', [
    'curl',
    '-sS',
    '-H',
    'content-type: application/json',
    '-d',
    body,
    rpc,
  ])
  const { result } = JSON.parse(stdout || '{}') as { result?: string }
  if (result === undefined) throw new Error(`${method}: ${stdout}${stderr}`)
  return result
}

const chainId = Number(await ask('eth_chainId'))
const gateway = await startGateway(
  `anchoring: {maxDelayMs: 1000}\nchains: [{name: lab, kind: rpc, chainId: ${chainId}, rpc: ['${rpc}'], confirmations: 1}]\n`,
)
t.teardown(async () => {
  await gateway.stop()
  await lab.stop()
})

interface ChainStatus {
  gatewayAddress?: string
  head?: { size: string; root: string }
}
const chain = async (): Promise<ChainStatus> => {
  const status = (await gateway.json('status')) as { recorder?: { chain?: { chains: ChainStatus[] } } }
  return status.recorder?.chain?.chains[0] ?? {}
}
const until = async (what: string, holds: () => Promise<boolean>) => {
  const end = Date.now() + 30_000
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`${what}: not within 30 s`)
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
}
const call = () =>
  lab.run('agent1', ['curl', '-sS', '-H', 'Authorization: Bearer k', 'https://api.openai.com/v1/models'])
const headFinding = async () => {
  const { findings } = (await gateway.json('verify')) as {
    findings: { check: string; result: string; detail: string }[]
  }
  return findings.find(({ check }) => check === 'head lab')
}

const COPY = '/root/copy'

t.test('a log on a chain of its own verifies as the extension of what is anchored', async (t) => {
  await until('the gateway has an address', async () => (await chain()).gatewayAddress !== undefined)
  await ask('anvil_setBalance', (await chain()).gatewayAddress, '0x8ac7230489e80000')
  await call()
  await until('the log is anchored', async () => (await headFinding())?.result === 'proved')
  t.pass('head lab: proved')
})

t.test('an older copy of the state is called one, and is never anchored over the newer log', async (t) => {
  await gateway.stop()
  await lab.run('root', ['cp', '-a', '--no-target-directory', '/var/lib/agent-anchor', COPY])
  await gateway.start()
  for (let i = 0; i < 3; i++) await call()
  const grown = async () => BigInt((await chain()).head?.size ?? 0) >= 7n
  await until('three more calls are anchored', grown)
  await gateway.stop()
  rmSync('/var/lib/agent-anchor', { recursive: true })
  await lab.run('root', ['cp', '-a', '--no-target-directory', COPY, '/var/lib/agent-anchor'])
  await gateway.start()
  const finding = await headFinding()
  t.equal(finding?.result, 'failed', JSON.stringify(finding))
  t.equal((await gateway.cli('verify')).code, 1)
  await until('status is degraded', async () => (await gateway.cli('status')).code === 4)

  // Degraded it is at first for other reasons too.
  await until('the head is known', async () => (await chain()).head !== undefined)
  const before = (await chain()).head
  for (let i = 0; i < 12; i++) await call()
  await until('the log has outgrown the head', async () => {
    const { recorder } = (await gateway.json('status')) as { recorder: { treeSize: string } }
    return BigInt(recorder.treeSize) > BigInt(before?.size ?? 0) + 2n
  })
  await new Promise((resolve) => setTimeout(resolve, 5000))
  t.same((await chain()).head, before, 'the chain keeps the log that it has')
  t.equal((await gateway.cli('status')).code, 4)
  t.match((await gateway.cli('status')).stdout, /ERROR/)
  t.equal((await headFinding())?.result, 'failed')
})
