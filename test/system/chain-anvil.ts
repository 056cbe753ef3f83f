/** A development chain of a test's own: the product's command line, a port of its own, ended by its pid. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { developmentChainCommand, developmentRpc } from '../../daemon/chain-writer/development-chain.ts'
import { httpRpc } from '../../daemon/chain-writer/json-rpc.ts'

export interface Anvil {
  readonly port: number
  readonly url: string
  readonly directory: string
  readonly pid: number
  readonly stderr: string
  call(method: string, ...params: unknown[]): Promise<unknown>
  kill(signal: NodeJS.Signals): Promise<void>
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** An empty directory that is removed after the teardowns added later: tap's own fixtures go before them. */
export function emptyDirectory(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'chain-test-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Starts anvil as the supervisor does and waits until it answers. */
export async function startAnvil(t: Test, directory: string, port?: number): Promise<Anvil> {
  const own = port ?? (await freePort())
  const [command, ...args] = developmentChainCommand({ port: own, stateDirectory: directory })
  const child: ChildProcess = spawn(command, args, {
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', HOME: directory },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let stderr = ''
  child.stderr?.on('data', (part) => {
    stderr += part
  })
  const exit = once(child, 'exit')
  const kill = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    await exit
  }
  t.teardown(() => kill('SIGKILL'))
  const url = developmentRpc(own)
  const rpc = httpRpc(url, { timeoutMs: 20_000 })
  const call = (method: string, ...params: unknown[]) => rpc.call(method, params)
  for (let tries = 0; ; tries++) {
    try {
      await call('eth_chainId')
      break
    } catch (error) {
      if (tries === 100 || child.exitCode !== null)
        throw new Error(`anvil doesn't start: ${stderr}`, { cause: error })
      await sleep(50)
    }
  }
  return {
    port: own,
    url,
    directory,
    pid: child.pid!,
    get stderr() {
      return stderr
    },
    call,
    kill,
  }
}

/** Waits for a condition. @throws after `ms` */
export async function until(what: string, holds: () => unknown, ms = 15_000): Promise<void> {
  const end = Date.now() + ms
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`)
    await sleep(20)
  }
}
