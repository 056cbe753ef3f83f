/**
 * An upgrade restarts the daemon when one of DAEMON_PARTS changed: nothing that the daemon runs may be outside. The
 * command line is: it only reads how the daemon is to be started.
 */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import t from 'tap'

const ENTRY = 'cli/commands/daemon.ts'
const root = join(import.meta.dirname, '../..')
const parts = /^DAEMON_PARTS='(.*)'$/m
  .exec(readFileSync(join(root, 'installers/program.sh'), 'utf8'))![1]!
  .split(' ')
const covered = (file: string) => parts.some((part) => file === part || file.startsWith(`${part}/`))
const source = (file: string) => readFileSync(join(root, file), 'utf8')

/** Files of ours that a file imports when it runs; imports of types don't. */
function importsOf(file: string): string[] {
  const found = source(file).matchAll(
    /^(?:import|export) (?!type )(?:[^'"`;]*? from )?'(\.[^']+)'|\bimport\('(\.[^']+)'\)/gm,
  )
  return [...found].map(([, path, lazy]) => relative(root, join(root, dirname(file), path ?? lazy!)))
}

t.test('every part is there', async (t) => {
  for (const part of parts) t.ok(existsSync(join(root, part)), part)
})

t.test('all that the daemon imports, and its children, is in DAEMON_PARTS', async (t) => {
  const queue = [ENTRY, ...globSync('daemon/**/{main,thread}.ts', { cwd: root })]
  const seen = new Set<string>()
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    const skipped = file.startsWith('cli/') && file !== ENTRY
    if (seen.has(file) || skipped || file.endsWith('.json')) continue
    seen.add(file)
    queue.push(...importsOf(file))
  }
  t.ok(seen.size > 100, `${seen.size} files`)
  t.same(
    [...seen].filter((file) => !covered(file)),
    [],
  )
})
