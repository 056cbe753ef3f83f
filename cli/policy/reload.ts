/** `agent-anchor policy reload`: asks the running gateway to read its policy again, and waits for what comes of it. */
import type { Config } from '../../daemon/config/config.ts'
import { layout } from '../../daemon/supervisor/layout.ts'
import { readState, type SupervisorState } from '../../daemon/supervisor/state-file.ts'
import { requireRoot } from '../cli-error.ts'

export type Reloaded =
  | { readonly state: 'not-running' | 'no-answer' }
  | {
      readonly state: 'in-force' | 'rejected'
      readonly policy: SupervisorState['policy']
      /** Domains that the CA may not speak for. */
      readonly outgrown: readonly string[]
    }

const ANSWER_MS = 20_000
const LOOK_MS = 50

/** @throws CliError NOT_ROOT */
export async function reload(config: Config): Promise<Reloaded> {
  requireRoot('policy reload')
  const file = layout(config).supervisorState
  const before = await readState(file)
  if (before === undefined) return { state: 'not-running' }
  process.kill(before.pid, 'SIGHUP')
  const until = performance.now() + ANSWER_MS
  while (performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    const now = await readState(file)
    if (now === undefined) return { state: 'not-running' }
    const { policy, ca } = now
    if (policy.reloads > before.policy.reloads) {
      const state = policy.rejected === undefined ? 'in-force' : 'rejected'
      return { state, policy, outgrown: ca.outgrown }
    }
  }
  return { state: 'no-answer' }
}

export function reloadedText(found: Reloaded): string {
  switch (found.state) {
    case 'not-running':
      return 'no gateway runs with this configuration; it reads its policy when it starts'
    case 'no-answer':
      return 'the gateway did not answer in 20 s: see agent-anchor status, and its log'
    case 'in-force':
      return `in force: ${found.policy.name}, hash ${found.policy.hash}${caText(found.outgrown)}`
    case 'rejected':
      return `not taken; the policy stays as it was (${found.policy.hash}):\n${found.policy.rejected}`
  }
}

const caText = (outgrown: readonly string[]): string =>
  outgrown.length === 0
    ? ''
    : `\nThe CA may not speak for ${outgrown.join(', ')} yet, and calls there fail: run agent-anchor trust rotate`
