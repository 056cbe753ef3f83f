/**
 * Proof that capture works on this machine: a provider of our own in a private network namespace, an ordinary
 * unprivileged curl that calls it through the machine's own rules, and the record that comes of it, verified.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Authority } from '../ca/authority.ts'
import { printCanaryReceipt } from '../cli/canary-receipt.ts'
import type { Config } from '../daemon/config/config.ts'
import {
  CANARY_ADDRESS,
  CANARY_GATEWAY,
  CANARY_LINK,
  CANARY_NAME,
  CANARY_PREFIX,
} from '../daemon/supervisor/canary.ts'
import { leafService } from '../daemon/supervisor/leaf-service.ts'
import { childEnvironment, nodeFlags, programRoot } from '../daemon/supervisor/program.ts'
import { CANARY_CHAT } from './canary-calls.ts'
import { InstallError } from './install-error.ts'
import { run, succeeds } from './run.ts'
import { whilst } from './waiting.ts'

const NAMESPACE = 'agent-anchor-canary'
const PEER = 'aa-canary-peer'

/**
 * One captured call; resolves with the answer's text.
 * @param uid who calls; nobody where absent
 * @throws InstallError CANARY_FAILED with curl's own words
 */
export const callCanary = (authorities: readonly Authority[], uid?: number): Promise<string> =>
  withCanary(authorities, () => callOnce(uid))

/** Does `work` while the canary provider stands. */
async function withCanary<T>(authorities: readonly Authority[], work: () => Promise<T>): Promise<T> {
  await using _ = await openCanary(authorities)
  return await work()
}

/** The canary provider stands until this is disposed of. */
export async function openCanary(authorities: readonly Authority[]): Promise<AsyncDisposable> {
  await removeNamespace()
  let provider: ChildProcess | undefined
  const close = async () => {
    provider?.kill('SIGKILL')
    await removeNamespace()
  }
  try {
    await run('ip', 'netns', 'add', NAMESPACE)
    await run('ip', 'link', 'add', CANARY_LINK, 'type', 'veth', 'peer', 'name', PEER, 'netns', NAMESPACE)
    await run('ip', 'addr', 'add', `${CANARY_GATEWAY}/${CANARY_PREFIX}`, 'dev', CANARY_LINK)
    await run('ip', 'link', 'set', CANARY_LINK, 'up')
    for (const command of [
      ['addr', 'add', `${CANARY_ADDRESS}/${CANARY_PREFIX}`, 'dev', PEER],
      ['link', 'set', PEER, 'up'],
      ['link', 'set', 'lo', 'up'],
    ]) {
      await run('ip', '-netns', NAMESPACE, ...command)
    }
    provider = await startProvider(authorities)
    return { [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The provider makes its key itself, says the public half, gets a leaf of our CA for the canary's name. */
async function startProvider(authorities: readonly Authority[]): Promise<ChildProcess> {
  const child = spawn(
    'ip',
    [
      'netns',
      'exec',
      NAMESPACE,
      process.execPath,
      ...nodeFlags,
      `${programRoot}/installers/canary-provider.ts`,
      CANARY_ADDRESS,
    ],
    { env: childEnvironment, stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => {
    const { value, done } = await lines.next()
    if (done) throw new InstallError('CANARY_FAILED', 'the canary provider ended', 'Run the installer again.')
    return value
  }
  const chain = await leafService(authorities)(CANARY_NAME, Buffer.from(await next(), 'base64'))
  child.stdin.write(`${JSON.stringify(chain)}\n`)
  await next()
  return child
}

/** curl as nobody, with the machine's own trust and nothing else: what any agent on this machine would see. */
export async function callOnce(uid?: number): Promise<string> {
  const { request, path } = CANARY_CHAT
  const body = JSON.stringify(request)
  const [, , nobody = '', group = ''] = (await run('getent', 'passwd', 'nobody')).split(':')
  return run(
    'setpriv',
    `--reuid=${uid ?? nobody}`,
    `--regid=${uid ?? group}`,
    '--clear-groups',
    '--inh-caps=-all',
    '--',
    'curl',
    '--silent',
    '--show-error',
    '--fail-with-body',
    '--max-time',
    '10',
    '--retry',
    '3',
    '--retry-connrefused',
    '--resolve',
    `${CANARY_NAME}:443:${CANARY_ADDRESS}`,
    '--header',
    'content-type: application/json',
    '--header',
    'authorization: Bearer canary',
    '--data',
    body,
    `https://${CANARY_NAME}${path}`,
  )
}

async function removeNamespace(): Promise<void> {
  if (await succeeds('ip', 'link', 'show', CANARY_LINK)) await succeeds('ip', 'link', 'del', CANARY_LINK)
  if ((await run('ip', 'netns', 'list')).split('\n').some((line) => line.split(' ')[0] === NAMESPACE)) {
    await run('ip', 'netns', 'del', NAMESPACE)
  }
}

/** Makes the call, then prints the verified receipt of its record and `status`, with the command's own words. */
export async function proveCapture(config: Config, authorities: readonly Authority[]): Promise<void> {
  const before = Date.now()
  await whilst('a call to the canary provider', callCanary(authorities))
  process.stdout.write(`\nA call to the canary provider was captured:\n\n`)
  if (await printCanaryReceipt(config, before)) return
  throw new InstallError(
    'CANARY_FAILED',
    "the canary's call went through, but its record could not be verified",
    `Read ${config.logDir}/agent-anchor.log, then run the installer again.`,
  )
}
