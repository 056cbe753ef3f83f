/** The gateway's processes, killed until it says so. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { readLiveState } from '../../cli/live-state.ts'
import { type ChildName, kindOf } from '../../daemon/supervisor/child-name.ts'
import type { Gateway } from './gateway.ts'
import { caused, remedied } from './health.ts'

/** The first restart is at once, those after it wait: only then somebody who looks now and then sees it. */
export async function killUntilTold(t: Test, gateway: Gateway, name: ChildName): Promise<void> {
  const states = async () => (await readLiveState(gateway.config)).health
  const code = `process.${kindOf(name)}` as const
  let told = false
  const killing = (async () => {
    for (; !told; await sleep(20)) {
      const pid = (await gateway.state())?.children.find((child) => child.name === name)?.pid
      try {
        if (pid !== undefined) process.kill(pid, 'SIGKILL')
      } catch {
        // It is gone already.
      }
    }
  })()
  const { remedy } = await caused(t, states, code)
  told = true
  await killing
  t.match(remedy, /started again by itself/)
  await remedied(t, states, code)
}
