/**
 * The gateway in the laboratory: started on `host` as the installer would leave it, with its CA in the laboratory's
 * trust store and the variables of a login. Everything is the product's own code.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { type Config, loadConfig } from '../../daemon/config/config.ts'
import { type Layout, layout } from '../../daemon/supervisor/layout.ts'
import { readState, type SupervisorState } from '../../daemon/supervisor/state-file.ts'
import { environmentSinks } from '../../installers/environment.ts'
import { machineTrustStore } from '../../installers/trust.ts'
import { compiledCode } from './compiled.ts'
import { LabError } from './lab-error.ts'
import { spawnIn } from './network.ts'
import { PATH, REPOSITORY } from './places.ts'
import { collect, type Outcome } from './process.ts'

const COMMAND = `${REPOSITORY}/cli/agent-anchor`
const CONFIG_FILE = '/etc/agent-anchor/gateway.yaml'
const START_MS = 30_000

export interface Gateway {
  readonly config: Config
  readonly paths: Layout
  /** The supervisor's process. */
  readonly process: ChildProcess
  /** Runs `agent-anchor ARGUMENTS` as root on `host`. */
  cli(...args: string[]): Promise<Outcome>
  /** The same with `--json`, its document parsed. */
  json(...args: string[]): Promise<Record<string, unknown>>
  state(): Promise<SupervisorState | undefined>
  /** Ordered stop. */
  stop(): Promise<void>
  /** SIGKILL to the supervisor alone, as the OOM killer would. */
  kill(): Promise<void>
  /** Starts it again after stop or kill; resolves when it captures. */
  start(): Promise<void>
  /** Milliseconds from the start of the process to `running`, of the last start. */
  readonly startMs: number
}

/**
 * @param settings YAML of gateway.yaml; anchors are made every second by default, so that nothing waits for them
 * @throws LabError with the daemon's own words where it doesn't come up
 */
export async function startGateway(settings = 'anchoring: {maxDelayMs: 1000}\n'): Promise<Gateway> {
  await mkdir('/etc/agent-anchor', { recursive: true })
  await writeFile(CONFIG_FILE, settings)
  const config = loadConfig(CONFIG_FILE)
  const paths = layout(config)
  let daemon: ChildProcess | undefined
  let startMs = 0

  const run = (args: readonly string[]) =>
    collect(
      spawnIn('host', 'root', [COMMAND, ...args], {
        env: { ...compiledCode, PATH, LANG: 'C.UTF-8' },
        stdio: 'pipe',
      }),
    )
  const ended = async () => {
    const last = daemon
    if (last && last.exitCode === null && last.signalCode === null) {
      await new Promise((resolve) => last.once('exit', resolve))
    }
  }
  const start = async () => {
    const began = performance.now()
    const child = spawnIn('host', 'root', [COMMAND, 'daemon'], {
      env: { ...compiledCode, PATH, LANG: 'C.UTF-8' },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    daemon = child
    let said = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-8000)
    })
    while ((await readState(paths.supervisorState))?.phase !== 'running') {
      if (child.exitCode !== null || performance.now() - began > START_MS) {
        child.kill('SIGKILL')
        throw new LabError(
          'gateway-did-not-start',
          `the gateway did not come up:\n${said}`,
          'See what it says.',
        )
      }
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    startMs = performance.now() - began
  }
  await start()
  const store = machineTrustStore()
  await store.install([await readFile(paths.caCertificate, 'utf8')])
  for (const sink of environmentSinks(paths.caCertificate)) await sink.install()

  return {
    config,
    paths,
    get process() {
      return daemon as ChildProcess
    },
    get startMs() {
      return startMs
    },
    cli: (...args) => run(args),
    async json(...args) {
      const { stdout, stderr, code } = await run([...args, '--json'])
      try {
        return JSON.parse(stdout) as Record<string, unknown>
      } catch {
        throw new LabError(
          'no-json',
          `agent-anchor ${args.join(' ')} (exit ${code}): ${stdout}${stderr}`,
          'See above.',
        )
      }
    },
    state: () => readState(paths.supervisorState),
    start,
    async stop() {
      daemon?.kill('SIGTERM')
      await ended()
    },
    async kill() {
      daemon?.kill('SIGKILL')
      await ended()
    },
  }
}
