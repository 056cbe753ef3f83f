import { execFile } from 'node:child_process'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

t.setTimeout(120_000)
const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

t.test('agent-anchor demo shows every step to hold', async (t) => {
  const env = { PATH: process.env.PATH ?? '', HOME: '/root' }
  const { stdout } = await promisify(execFile)(`${repository}/cli/agent-anchor`, ['demo', '--json'], { env })
  const shown = JSON.parse(stdout) as {
    steps: { step: string; ok: boolean; lines: string[] }[]
    seconds: number
  }
  t.ok(shown.steps.length >= 9)
  for (const { step, ok, lines } of shown.steps) t.ok(ok, `${step}: ${lines.join(' ')}`)
  t.comment(`${shown.seconds} s`)
})
