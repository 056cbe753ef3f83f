/** Asks for an erasure: the running recorder does it, or one that is started for it where no gateway runs. */
import { fork } from 'node:child_process'
import { on, once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { loginUid } from '../daemon/admin/login-uid.ts'
import { formatVerifierKey } from '../daemon/ledger/note.ts'
import { ErasureAnswer } from '../daemon/recorder/messages.ts'
import { account, RECORDER_ACCOUNT } from '../daemon/supervisor/accounts.ts'
import { childEnvironment, programRoot } from '../daemon/supervisor/program.ts'
import { ownRecorder } from '../daemon/supervisor/recording.ts'
import { readState } from '../daemon/supervisor/state-file.ts'
import { unprivileged } from '../daemon/supervisor/unprivileged.ts'
import { openGatewayKeys } from '../daemon/vault/gateway-keys.ts'
import { wipeKeys } from '../daemon/vault/keys.ts'
import { ErasureFailed } from './cli-error.ts'
import type { Evidence } from './evidence.ts'

type Result = Extract<ErasureAnswer, { type: 'erased' }>['result']
type Progress = Extract<ErasureAnswer, { type: 'erasing' }>['progress']

/** Ids in one request: at most a thousand are taken. */
const AT_ONCE = 500

/** @throws CliError ERASURE_FAILED */
export async function eraseRecords(
  evidence: Evidence,
  ids: readonly string[],
  progress: (state: Progress) => void,
): Promise<Result> {
  const result: Result = { erased: [], skipped: [] }
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const { erased, skipped } = await eraseSome(evidence, ids.slice(at, at + AT_ONCE), progress)
    result.erased.push(...erased)
    result.skipped.push(...skipped)
  }
  return result
}

async function eraseSome(
  evidence: Evidence,
  ids: readonly string[],
  progress: (state: Progress) => void,
): Promise<Result> {
  const running = (await readState(evidence.paths.supervisorState)) !== undefined
  const answers = running ? askRunning(evidence.paths.adminSocket, ids) : askOwn(evidence, ids)
  let result: Result | undefined
  for await (const answer of answers) {
    if (answer.type === 'erasing') progress(answer.progress)
    else if (answer.type === 'erased') result = answer.result
    else throw new ErasureFailed(answer.error.message, answer.error.remedy)
  }
  if (result !== undefined) return result
  throw new ErasureFailed(
    'the recorder ended before it had answered',
    'Look at the log of the recorder, then run the command again: what was done stays done.',
  )
}

async function* askRunning(socketPath: string, ids: readonly string[]): AsyncGenerator<ErasureAnswer> {
  const socket = connect(socketPath)
  try {
    await once(socket, 'connect')
  } catch (error) {
    throw new ErasureFailed(
      `the gateway runs, but its recorder can't be asked at ${socketPath}`,
      'Wait until `agent-anchor status` shows the recorder, then run the command again.',
      error,
    )
  }
  // An error ends the lines; what is missing then is noticed.
  socket.on('error', () => socket.destroy())
  socket.write(`${JSON.stringify({ command: 'erase', ids })}\n`)
  for await (const line of createInterface({ input: socket })) yield ErasureAnswer.parse(JSON.parse(line))
}

/** Under the recorder's account, so that what it writes is the recorder's. The log's lock keeps a second one out. */
async function* askOwn(evidence: Evidence, ids: readonly string[]): AsyncGenerator<ErasureAnswer> {
  const { config, paths } = evidence
  const origin = evidence.verifierKey.split('+')[0] ?? ''
  const gateway = await openGatewayKeys({ vault: await evidence.vault(), dir: paths.keysDirectory, origin })
  const verifierKey = formatVerifierKey(origin, gateway.keys.log.publicKey)
  const identity = { gateway, origin, verifierKey }
  const child = fork(`${programRoot}/daemon/recorder/main.ts`, [], {
    ...unprivileged(await account(RECORDER_ACCOUNT)),
    cwd: '/',
    env: childEnvironment,
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit')
  try {
    child.send({ type: 'start', ...ownRecorder(config, paths, identity) })
    for await (const [message] of on(child, 'message', { close: ['exit'] })) {
      if (message.type === 'ready') {
        child.send({ type: 'erase', ids, uid: process.getuid?.() ?? 0, loginUid: loginUid('self') })
      }
      const answer = ErasureAnswer.safeParse(message).data
      if (answer === undefined) continue
      yield answer
      if (answer.type !== 'erasing') break
    }
  } finally {
    wipeKeys(gateway.keys)
    if (child.connected) child.send({ type: 'stop' })
    await ended
  }
}
