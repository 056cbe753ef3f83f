/** The recorder's real process, as the supervisor forks it. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { startMessage } from './recorder-fixtures.ts'

const MAIN = fileURLToPath(new URL('../../daemon/recorder/main.ts', import.meta.url))

export interface RunningRecorder {
  readonly child: ChildProcess
  /** Waits for a state message that fits. */
  state(fits: (state: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>
  stop(): Promise<number | null>
  kill(): Promise<void>
}

export async function startRecorder(start: ReturnType<typeof startMessage>): Promise<RunningRecorder> {
  const child = fork(MAIN, [], {
    env: { PATH: '/usr/bin:/bin', MALLOC_ARENA_MAX: '2' },
    execArgv: ['--max-semi-space-size=8'],
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  let newest: Record<string, unknown> = {}
  const listeners = new Set<() => void>()
  const ready = new Promise<void>((resolve, reject) => {
    child.on('message', (message: Record<string, unknown>) => {
      if (message.type === 'ready') resolve()
      if (message.type === 'state') newest = message
      for (const listener of listeners) listener()
    })
    child.once('exit', (code) => reject(new Error(`the recorder ended with ${code}`)))
  })
  child.send(start)
  await ready
  return {
    child,
    state: (fits) =>
      new Promise((resolve) => {
        const look = () => {
          if (!fits(newest)) return
          listeners.delete(look)
          resolve(newest)
        }
        listeners.add(look)
        look()
      }),
    stop: async () => {
      const exit = once(child, 'exit')
      child.send({ type: 'stop' })
      const [code] = await exit
      return code as number | null
    },
    kill: async () => {
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
    },
  }
}
