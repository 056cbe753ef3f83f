/** What is asked of an installed gateway again and again: does it run, does it capture, and whom. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { OPENAI } from '../lab/addresses.ts'
import type { Outcome } from '../lab/process.ts'
import { type FreshDebian, said } from './fresh-debian.ts'

export const UNITS = ['agent-anchor.service', 'agent-anchor-fence.service']
export const CURL = 'curl --silent --show-error --max-time 20'
/** Who is on the machine, by uid: useradd counts from 1000. */
export const UIDS = { alice: 1000, bob: 1001 } as const
export type User = keyof typeof UIDS

export interface Probes {
  areActive(t: Test): Promise<void>
  /** Answers with the prompt, like a model that has nothing to add. */
  call(user: User, prompt: string): Promise<Outcome>
  /** A call by an ordinary user's curl is answered, recorded as theirs, and came from the proxy. */
  captures(t: Test, when: string, user?: User): Promise<void>
  sizeOfLog(): number
}

export function probes({ lab, machine, inMachine, asRoot, gateway, show }: FreshDebian): Probes {
  const call = (user: User, prompt: string) =>
    machine.login(
      user,
      `${CURL} --header 'authorization: Bearer sk-${user}' --header 'content-type: application/json' \
        --data '{"model":"gpt-5","messages":[{"role":"user","content":"${prompt}"}]}' \
        https://${OPENAI.name}/v1/chat/completions`,
    )
  return {
    call,
    async areActive(t) {
      for (const unit of UNITS) t.equal((await show(unit)).ActiveState, 'active', `${unit} is active`)
      t.equal((await asRoot('systemctl', 'list-units', '--failed', '--quiet')).stdout, '', 'no unit failed')
      // Right after a start the canary and the chain may still owe their first word.
      let status = await gateway('status')
      for (let tries = 0; tries < 60 && status.code !== 0; tries++) {
        await sleep(500)
        status = await gateway('status')
      }
      t.equal(status.code, 0, `status is healthy: ${said(status)}`)
    },
    async captures(t, when, user = 'alice') {
      const outcome = await call(user, when)
      t.equal(outcome.code, 0, said(outcome))
      t.match(outcome.stdout, when, 'the answer arrives')
      const { records } = JSON.parse((await gateway('records', '--kind', 'exchange', '--json')).stdout)
      t.match(records[0], { uid: UIDS[user], provider: 'openai', status: 200 }, `it is recorded as ${user}'s`)
      const seen = (await lab.wireLog()).flatMap(({ exchanges }) => exchanges)
      t.ok(
        seen.some(({ body }) => body.toString().includes(when)),
        'the provider got it',
      )
    },
    sizeOfLog: () =>
      Number(
        readFileSync(inMachine('var/lib/agent-anchor/recorder/ledger/checkpoint'), 'utf8').split('\n')[1],
      ),
  }
}
