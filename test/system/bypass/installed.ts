/** The gateway as its installer puts it on the laboratory's machine, and what goes wrong while it does. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { loadConfig } from '../../../daemon/config/config.ts'
import { layout } from '../../../daemon/supervisor/layout.ts'
import { readState } from '../../../daemon/supervisor/state-file.ts'
import type { Gateway } from '../../lab/gateway.ts'
import { spawnIn } from '../../lab/network.ts'
import { offlineNpm } from '../../lab/npm-cache.ts'
import { PATH, REPOSITORY } from '../../lab/places.ts'
import { collect, type Outcome, tool } from '../../lab/process.ts'
import { type User, userNamed } from '../../lab/users.ts'

const CONFIG_FILE = '/etc/agent-anchor/gateway.yaml'
const TARGET = '/opt/agent-anchor'
/** What the installer would have copied and fetched (test/system/install.test.ts does), for installs by its second half. */
export const KEPT = '/opt/kept'
const PARTS = [
  ...[
    'package.json',
    'package-lock.json',
    'daemon',
    'firewall',
    'ca',
    'policies',
    'cli',
    'installers',
    'docs',
  ],
]

/**
 * Takes away the accounts that the laboratory has and an installer makes.
 * @returns the one that proxies will have: the system gives the same uids again
 */
export async function withoutAccounts(): Promise<Pick<User, 'uid'>> {
  const accounts = ['agent-anchor', 'agent-anchor-proxy', 'agent-anchor-sensor']
  for (const name of accounts) await tool(['userdel', name])
  for (const name of accounts) await tool(['useradd', '--system', '--user-group', '--no-create-home', name])
  const { uid } = userNamed('agent-anchor-proxy')
  for (const name of accounts) await tool(['userdel', name])
  return { uid }
}

/** The machine before any install: a bundle of its own making, and the product for the installer to find. */
export async function prepareMachine(): Promise<void> {
  await tool(['update-ca-certificates', '--fresh'])
  await tool(['mkdir', KEPT])
  const copied = [...PARTS, ...packages(), 'node_modules/.package-lock.json']
  await tool(['tar', '-C', REPOSITORY, '-cf', '/var/tmp/kept.tar', ...copied])
  await tool(['tar', '-C', KEPT, '--no-same-owner', '-xf', '/var/tmp/kept.tar'])
}

/** Those of the product, without its tests'. */
function packages(): string[] {
  const { packages } = JSON.parse(readFileSync(`${REPOSITORY}/package-lock.json`, 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>
  }
  return Object.entries(packages).flatMap(([path, { dev }]) =>
    /^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) && dev !== true && existsSync(`${REPOSITORY}/${path}`)
      ? [path]
      : [],
  )
}

const asAdministrator = (...argv: string[]): Promise<Outcome> =>
  collect(
    spawnIn('host', 'root', argv, {
      env: { PATH, LANG: 'C.UTF-8', ...offlineNpm('/var/tmp/empty') },
      stdio: 'pipe',
    }),
    { timeoutMs: 120_000 },
  )

/** The installer from the repository, which finds no package to fetch. */
export const installWithoutPackages = (): Promise<Outcome> =>
  asAdministrator(`${REPOSITORY}/installers/install.sh`)

/** The installer from the tree at its place, put there by hard links where it isn't. */
export async function install(): Promise<Outcome> {
  if (!existsSync(TARGET)) await tool(['cp', '-al', KEPT, TARGET])
  return asAdministrator(`${TARGET}/installers/install.sh`)
}

/** A tree that stood at its place before the installer was run from it is its owner's to remove. */
export const takeTreeAway = (): Promise<unknown> => tool(['rm', '-rf', TARGET])

export const uninstall = (...options: string[]): Promise<Outcome> =>
  asAdministrator('/usr/local/bin/agent-anchor', 'uninstall', ...options)

/** @throws an error with the installer's own words */
export async function installedGateway(): Promise<Gateway> {
  const { code, stdout, stderr } = await install()
  if (code !== 0) throw new Error(stdout + stderr)
  const config = loadConfig(CONFIG_FILE)
  const paths = layout(config)
  const never = (): never => {
    throw new Error('an installed gateway is nobody’s child: use the command')
  }
  const cli = (...args: string[]) => asAdministrator('/usr/local/bin/agent-anchor', ...args)
  return {
    config,
    paths,
    get process() {
      return never()
    },
    startMs: 0,
    cli,
    json: async (...args) => JSON.parse((await cli(...args, '--json')).stdout) as Record<string, unknown>,
    state: () => readState(paths.supervisorState),
    start: async () => never(),
    kill: async () => never(),
    stop: async () => void (await uninstall()),
  }
}

export interface Fault {
  /** The step that comes to grief. */
  readonly step: string
  readonly inject: () => Promise<() => unknown>
}

/** One a step of the installer's, in the order of the steps. */
export const FAULTS: readonly Fault[] = [
  { step: 'accounts', inject: () => failing('/usr/sbin/useradd') },
  { step: 'configuration', inject: () => written(CONFIG_FILE, 'policy: [nonsense\n') },
  { step: 'rules', inject: () => failing('/usr/sbin/nft') },
  { step: 'keys', inject: () => written('/etc/agent-anchor/host.key', 'no key\n') },
  { step: 'trust', inject: () => failing('/usr/sbin/update-ca-certificates') },
  { step: 'environment', inject: () => readOnly('/etc/profile.d') },
  { step: 'daemon', inject: portTaken },
  { step: 'proof', inject: () => failing('/usr/bin/curl') },
]

/** A program of the machine's that ends with an error. */
async function failing(program: string): Promise<() => Promise<unknown>> {
  await tool(['mount', '--bind', '/bin/false', program])
  return () => tool(['umount', program])
}

async function readOnly(directory: string): Promise<() => Promise<unknown>> {
  await tool(['mount', '--bind', directory, directory])
  await tool(['mount', '-o', 'remount,bind,ro', directory])
  return () => tool(['umount', directory])
}

async function written(path: string, text: string): Promise<() => void> {
  const before = existsSync(path) ? readFileSync(path) : undefined
  writeFileSync(path, text)
  return () => (before === undefined ? rmSync(path) : writeFileSync(path, before))
}

async function portTaken(): Promise<() => Promise<unknown>> {
  const script =
    'import socket, sys; s = socket.create_server(("0.0.0.0", 18443)); print("ready", flush=True); sys.stdin.read()'
  const child = spawnIn('host', 'root', ['/usr/bin/python3', '-c', script], { env: { PATH }, stdio: 'pipe' })
  await new Promise((resolve) => child.stdout!.once('data', resolve))
  return async () => collect(child)
}
