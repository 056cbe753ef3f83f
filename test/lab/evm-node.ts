import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { EVM, EVM_PORT } from './addresses.ts'
import { LabError } from './lab-error.ts'
import { spawnIn } from './network.ts'
import { PATH, REPOSITORY } from './places.ts'

export interface EvmNode {
  /** URL of its JSON-RPC. */
  readonly url: string
  /** It hangs: connections are taken, and nothing is answered any more. */
  freeze(): void
  /** It goes on where it was. */
  thaw(): void
  stop(): Promise<void>
}

/** An EVM node on the internet, as `http://evm.example.org:8545`: anvil, accounts funded. */
export async function startEvmNode(port = EVM_PORT, chainId = 31_337): Promise<EvmNode> {
  const machine = process.arch === 'arm64' ? 'arm64' : 'amd64'
  const anvil = `${REPOSITORY}/node_modules/@foundry-rs/anvil-linux-${machine}/bin/anvil`
  const child = spawnIn(
    'internet',
    'root',
    [anvil, '--host', EVM.address4, '--port', String(port), '--chain-id', String(chainId)],
    {
      env: { PATH, HOME: '/root' },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const gone = once(child, 'exit')
  const said: string[] = []
  const listening = (async () => {
    for await (const line of createInterface({ input: child.stdout! })) {
      if (line.startsWith('Listening on ')) return
      said.push(line)
    }
    const why = said.slice(-3).join('\n')
    throw new LabError('evm-failed', `anvil ended: ${why}`, `See whether ${anvil} is there and runs.`)
  })()
  await Promise.race([listening, gone.then(() => listening)])
  child.stdout!.resume()
  return {
    url: `http://${EVM.address4}:${port}`,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    async stop() {
      child.kill('SIGKILL')
      await gone
    },
  }
}
