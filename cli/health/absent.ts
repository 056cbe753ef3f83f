/** Why nothing, or nothing fresh, can be heard of the gateway, and what to do about it; pure. */
import type { Health } from '../../daemon/base/health.ts'
import { BEAT_MS, type StateFound, type SupervisorState } from '../../daemon/supervisor/state-file.ts'
import type { Silence } from '../recorder-status.ts'

/** Some beats may come late on a machine with other work. */
const HANGS_MS = 6 * BEAT_MS

export function absenceHealth(found: StateFound, file: string, logDir: string): Health[] {
  switch (found.kind) {
    case 'running':
      return found.stopped || found.age >= HANGS_MS ? [hangs(found)] : []
    case 'absent':
      return [notRunning('The gateway does not run', START)]
    case 'ended':
      return [ended(found.state, logDir)]
    case 'unreadable':
      return [
        {
          code: 'daemon.state-unreadable',
          severity: 'error',
          title: `What the gateway says of itself can't be read: ${found.why}`,
          remedy: `Run sudo agent-anchor status. Every user may read ${file} (0644), unless somebody changed its mode or its directory's.`,
        },
      ]
    case 'unknown':
      return [
        {
          code: 'daemon.state-unknown',
          severity: 'error',
          title: `${file} is not what this version writes${found.version === undefined ? '' : `: the gateway that wrote it is ${found.version}`}`,
          remedy: `Restart the gateway, so that it runs what is installed: systemctl restart agent-anchor`,
        },
      ]
  }
}

const START = 'Start it: systemctl start agent-anchor, or `agent-anchor daemon` where there is no systemd.'

const notRunning = (what: string, remedy: string): Health => ({
  code: 'daemon.not-running',
  severity: 'error',
  title: `${what}: calls to LLM providers are refused as long as its fence stands`,
  remedy,
})

function ended({ phase, pid }: SupervisorState, logDir: string): Health {
  if (phase === 'stopping') return notRunning('The gateway was stopped', START)
  return notRunning(
    `The gateway ended without a word (pid ${pid}, while ${phase})`,
    `${START} ${logDir}/agent-anchor.log and \`journalctl -u agent-anchor\` have what it said last.`,
  )
}

const hangs = ({ state: { pid }, age, stopped }: Extract<StateFound, { kind: 'running' }>): Health => ({
  code: 'daemon.hangs',
  severity: 'error',
  title: stopped
    ? `The gateway's main process (pid ${pid}) was stopped by a signal`
    : `The gateway's main process (pid ${pid}) has said nothing for ${Math.round(age / 1000)} s: it hangs`,
  remedy: stopped ? `Let it go on: kill -CONT ${pid}` : 'Restart it: systemctl restart agent-anchor',
})

export function silenceHealth(silence: Silence, { children }: SupervisorState): Health {
  const pid = children.find(({ name }) => name === 'recorder')?.pid
  const { how, remedy } = SILENCES[silence](pid === undefined ? 'its pid' : String(pid))
  return {
    code: 'recorder.silent',
    severity: 'error',
    title: `The recorder ${how}: governed calls are refused with 503`,
    remedy,
  }
}

const AGAIN = 'It is started again by itself; if this stays, read the log (agent-anchor.log in logDir).'

const SILENCES: Record<Silence, (pid: string) => { how: string; remedy: string }> = {
  gone: () => ({ how: 'does not run', remedy: AGAIN }),
  late: (pid) => ({
    how: 'does not answer',
    remedy: `One that hangs is not started again by itself: kill -9 ${pid}, and it is. What it has on disk it finishes then.`,
  }),
  forbidden: () => ({
    how: 'may not be asked by this user',
    remedy:
      'Run sudo agent-anchor status. Every user may connect to status.sock, unless somebody changed its mode.',
  }),
  unknown: () => ({
    how: 'says what this version does not understand',
    remedy: 'Restart the gateway, so that it runs what is installed: systemctl restart agent-anchor',
  }),
}
