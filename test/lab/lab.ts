/**
 * The laboratory: an internet with providers, and a host with agents, on one machine and out of its
 * sight. A script calls `enterLab(import.meta.url)` first, then `startLab()`.
 */
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { appendFile } from 'node:fs/promises'
import { WEB_SITES } from './addresses.ts'
import { clientEnvironment } from './client-environment.ts'
import { startEvmNode } from './evm-node.ts'
import type { Command } from './internet/messages.ts'
import { startInternet } from './internet.ts'
import { LabError } from './lab-error.ts'
import { buildNetwork, removeNetwork, spawnIn } from './network.ts'
import { insideLab } from './places.ts'
import { collect, type Outcome } from './process.ts'
import { trustRoot } from './trust.ts'
import { userNamed } from './users.ts'
import { readWireLog, type WireConnection } from './wire-log.ts'

export interface LabOptions {
  /** Start an EVM node on the internet too. */
  readonly evm?: boolean
  /** The wide internet: with everything that an agent could go round by, and a log of packets (`wide-lab.ts`). */
  readonly wide?: boolean
  /** Put the web sites' names into /etc/hosts, so that clients ask no resolver. */
  readonly namesInHosts?: boolean
  /** Keep a wire log (default). Benchmarks go without. */
  readonly wireLog?: boolean
}

interface RunOptions {
  /** Variables over those of a fresh login. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly input?: string | Uint8Array
  /** Milliseconds until the program is killed, 30,000 where nothing is said. */
  readonly timeoutMs?: number
}

interface SpawnAsOptions extends Pick<RunOptions, 'env' | 'cwd'> {
  /** As in node:child_process; `pipe` where nothing is said. */
  readonly stdio?: SpawnOptions['stdio']
}

export interface Lab {
  /** Root certificate (PEM) of the laboratory's internet, which the laboratory's trust store holds. */
  readonly rootCertificate: string
  /** How long the set-up took (milliseconds). */
  readonly setUpMs: number
  /** Starts a program on `host` as a user, with the environment of that user's fresh login. */
  spawnAs(user: string, argv: readonly string[], options?: SpawnAsOptions): ChildProcess
  /** The same, with its output gathered, until it ends. */
  run(user: string, argv: readonly string[], options?: RunOptions): Promise<Outcome>
  /** What the internet has seen so far. */
  wireLog(): Promise<WireConnection[]>
  /** Changes what the internet does: certificates, listeners, names. */
  ask(command: Command): Promise<void>
  /** Takes the network down again; leaving the laboratory does so too. */
  stop(): Promise<void>
}

/** Builds the network and starts the internet. At most one laboratory a process. */
export async function startLab(options: LabOptions = {}): Promise<Lab> {
  if (!insideLab()) {
    throw new LabError(
      'outside',
      'startLab() outside the laboratory',
      'Call enterLab(import.meta.url) first.',
    )
  }
  const began = performance.now()
  await buildNetwork()
  const [internet, evm] = await Promise.all([
    startInternet(options.wide),
    options.evm ? startEvmNode() : undefined,
  ])
  await trustRoot(internet.root)
  if (options.wireLog === false) await internet.ask({ type: 'log', on: false })
  if (options.namesInHosts) {
    const lines = WEB_SITES.flatMap((site) => [
      `${site.address4} ${site.name}`,
      `${site.address6} ${site.name}`,
    ])
    await appendFile('/etc/hosts', `${lines.join('\n')}\n`)
  }

  function spawnAs(userName: string, argv: readonly string[], how: SpawnAsOptions = {}): ChildProcess {
    const user = userNamed(userName)
    return spawnIn('host', user, argv, {
      env: { ...clientEnvironment(user), ...how.env },
      cwd: how.cwd ?? user.home,
      stdio: how.stdio ?? 'pipe',
    })
  }

  return {
    rootCertificate: internet.root,
    setUpMs: performance.now() - began,
    spawnAs,
    run: (user, argv, how = {}) => collect(spawnAs(user, argv, how), how),
    async wireLog() {
      await internet.ask({ type: 'flush' })
      return readWireLog()
    },
    ask: (command) => internet.ask(command),
    async stop() {
      await evm?.stop()
      await internet.stop()
      await removeNetwork()
    },
  }
}
