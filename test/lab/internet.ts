import { once } from 'node:events'
import { compiledCode } from './compiled.ts'
import type { Command, Report } from './internet/messages.ts'
import { LabError } from './lab-error.ts'
import { spawnIn } from './network.ts'
import { NODE, PATH, REPOSITORY } from './places.ts'

/** The running internet, from the outside. */
export interface Internet {
  /** The root certificate (PEM) that its sites' certificates lead to. */
  readonly root: string
  ask(command: Command): Promise<void>
  stop(): Promise<void>
}

/** Starts the process in `internet` and waits until everything there listens. */
export async function startInternet(wide = false): Promise<Internet> {
  const argv = [NODE, `${REPOSITORY}/test/lab/internet-process.ts`, ...(wide ? ['wide'] : [])]
  const child = spawnIn('internet', 'root', argv, {
    env: { ...compiledCode, PATH },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const waiting = new Map<number, (report: Report | undefined) => void>()
  const ready = Promise.withResolvers<string>()
  child.on('message', (report: Report) => {
    if (report.type === 'ready') ready.resolve(report.root)
    else waiting.get(report.id)?.(report)
  })
  const gone = once(child, 'exit').then(() => {
    ready.reject(failure('it ended before it was ready'))
    for (const answer of waiting.values()) answer(undefined)
  })
  const root = await ready.promise
  let lastId = 0
  return {
    root,
    async ask(command) {
      const id = ++lastId
      const { promise, resolve } = Promise.withResolvers<Report | undefined>()
      waiting.set(id, resolve)
      if (child.connected) child.send({ id, command })
      else resolve(undefined)
      const report = await promise
      waiting.delete(id)
      if (report === undefined) throw failure('it has ended')
      if (report.type === 'failed') throw failure(report.message)
    },
    async stop() {
      if (child.connected) child.disconnect()
      await gone
    },
  }
}

function failure(what: string): LabError {
  return new LabError('internet-failed', `the laboratory's internet: ${what}`, 'See its own message above.')
}
