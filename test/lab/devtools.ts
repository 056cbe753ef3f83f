/**
 * A real Chromium with one page, driven over its DevTools protocol by a pipe: no port, and no network at all, since
 * it stands in an empty network namespace of its own.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { LabError } from './lab-error.ts'

export interface BrowserEvent {
  readonly method: string
  readonly params: Record<string, unknown>
}

export interface Tab {
  /** A call of the protocol, in this page. */
  call(method: string, params?: object): Promise<Record<string, unknown>>
  /** The value of a script, run as the page's own; promises are awaited. */
  evaluate<T>(script: string): Promise<T>
  /** All events of the domains that were enabled, in order. */
  readonly events: readonly BrowserEvent[]
  close(): Promise<void>
}

interface Answer {
  readonly id?: number
  readonly method?: string
  readonly params?: Record<string, unknown>
  readonly result?: Record<string, unknown>
  readonly error?: { readonly message: string }
}

/** @throws LabError program-missing */
export async function openTab(url: string): Promise<Tab> {
  const profile = mkdtempSync(join(tmpdir(), 'devtools-'))
  const options = [
    ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'],
    ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ...['--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank'],
  ]
  const browser = spawn('unshare', ['--net', 'chromium', ...options], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  })
  const send = dispatcher(browser)
  const { targetInfos } = (await send('Target.getTargets')) as {
    targetInfos: { type: string; targetId: string }[]
  }
  const { targetId } = targetInfos.find(({ type }) => type === 'page')!
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true })
  const call = (method: string, params: object = {}) => send(method, params, sessionId as string)
  for (const domain of ['Page', 'Runtime', 'Network', 'Log', 'DOM']) await call(`${domain}.enable`)
  await call('Page.navigate', { url })
  const tab: Tab = {
    call,
    events: send.events,
    async evaluate<T>(expression: string) {
      const options = {
        ...{ expression, awaitPromise: true, returnByValue: true, userGesture: true },
        allowUnsafeEvalBlockedByCSP: false,
      }
      const { result, exceptionDetails } = await call('Runtime.evaluate', options)
      if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
      return (result as { value: T }).value
    },
    async close() {
      const ended = new Promise((resolve) => browser.once('exit', resolve))
      await send('Browser.close').catch(() => browser.kill('SIGKILL'))
      await ended
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
    },
  }
  while (
    (await tab.evaluate<string>('document.readyState')) !== 'complete' ||
    (await tab.evaluate('location.href')) !== url
  )
    await new Promise((resolve) => setTimeout(resolve, 20))
  return tab
}

type Send = ((method: string, params?: object, sessionId?: string) => Promise<Record<string, unknown>>) & {
  readonly events: BrowserEvent[]
}

/** Messages are JSON, each ended by a zero byte: ours on descriptor 3, its own on 4. */
function dispatcher(browser: ChildProcess): Send {
  const [to, from] = [browser.stdio[3] as Writable, browser.stdio[4] as Readable]
  const waiting = new Map<number, (answer: Answer) => void>()
  const events: BrowserEvent[] = []
  let rest = Buffer.alloc(0)
  let last = 0
  let gone: LabError | undefined
  const end = (cause?: unknown) => {
    gone = new LabError(
      'program-missing',
      `chromium ended: ${String(cause ?? '')}`,
      'apt-get install chromium',
    )
    for (const settle of waiting.values()) settle({ error: { message: gone.message } })
  }
  browser.once('error', end)
  browser.once('exit', end)
  to.on('error', end)
  from.on('data', (piece: Buffer) => {
    rest = Buffer.concat([rest, piece])
    for (let at = rest.indexOf(0); at >= 0; at = rest.indexOf(0)) {
      const answer = JSON.parse(rest.subarray(0, at).toString()) as Answer
      rest = rest.subarray(at + 1)
      if (answer.id !== undefined) waiting.get(answer.id)?.(answer)
      else if (answer.method !== undefined)
        events.push({ method: answer.method, params: answer.params ?? {} })
    }
  })
  const send = async (method: string, params: object = {}, sessionId?: string) => {
    if (gone !== undefined) throw gone
    const id = ++last
    const answered = new Promise<Answer>((resolve) => waiting.set(id, resolve))
    to.write(`${JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) })}\0`)
    const { result = {}, error } = await answered
    waiting.delete(id)
    if (error !== undefined) throw new Error(`${method}: ${error.message}`)
    return result
  }
  return Object.assign(send, { events })
}
