import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type CommandFile, installCommandFiles } from '../../installers/command-files.ts'
import { fateOf } from '../../installers/fate.ts'
import { openManifest } from '../../installers/manifest.ts'
import { undo } from '../../installers/undo.ts'
import { commandTable } from './cli-run.ts'
import { scratch } from './scratch.ts'

const table = await commandTable()

/** A machine's `share`, with a file of somebody else's beside what an install makes. */
async function rig() {
  const root = scratch()
  const at = (name: string) => join(root, name)
  mkdirSync(at('share/man'), { recursive: true })
  const manifest = await openManifest(at('etc/manifest.json'))
  const install = (text: string, needs?: string) => {
    const file = (path: string): CommandFile => ({
      path: at(path),
      make: ({ path: name }) => `${text}${name}\n`,
      ...(needs === undefined ? {} : { needs: at(needs) }),
    })
    return installCommandFiles(manifest, table, [file('share/zsh/site/_a'), file('share/man/man8/a.8')])
  }
  const uninstall = async () => {
    for (const kind of ['command-file', 'directory'])
      for (const entry of [...manifest.steps].reverse())
        if (entry.kind === kind) {
          await undo(entry, false)
          await manifest.drop(entry)
        }
  }
  const tree = () => readdirSync(at('share'), { recursive: true }).map(String).sort()
  return { at, install, uninstall, manifest, tree }
}

t.test('what is installed is readable by all, and undone with the directories made for it', async (t) => {
  const { at, install, uninstall, tree, manifest } = await rig()
  const before = tree()
  const umask = process.umask(0o022)
  t.teardown(() => process.umask(umask))
  t.same(await install('one'), [at('share/zsh/site/_a'), at('share/man/man8/a.8')])
  t.equal(readFileSync(at('share/man/man8/a.8'), 'utf8'), 'one\n')
  t.equal(statSync(at('share/man/man8/a.8')).mode & 0o777, 0o644)
  t.equal(statSync(at('share/zsh')).mode & 0o777, 0o755)
  await uninstall()
  t.same(tree(), before)
  t.same(manifest.steps, [])
})

t.test('a second install changes nothing, an upgrade replaces what is ours', async (t) => {
  const { at, install, uninstall, tree, manifest } = await rig()
  const before = tree()
  await install('one')
  const entries = [...manifest.steps]
  const { ino } = statSync(at('share/zsh/site/_a'))
  await install('one')
  t.same(manifest.steps, entries)
  t.equal(statSync(at('share/zsh/site/_a')).ino, ino, 'not written again')
  for (const version of ['two', 'three', 'four']) await install(version)
  t.equal(readFileSync(at('share/zsh/site/_a'), 'utf8'), 'four\n')
  const files = manifest.steps.filter(({ kind }) => kind === 'command-file')
  t.equal(files.length, 4, 'of each file the version before and this one')
  await uninstall()
  t.same(tree(), before)
})

t.test("somebody else's file is neither overwritten nor removed", async (t) => {
  const { at, install, uninstall, manifest } = await rig()
  mkdirSync(at('share/zsh/site'), { recursive: true })
  mkdirSync(at('share/man/man8'))
  writeFileSync(at('share/zsh/site/_a'), 'theirs')
  chmodSync(at('share/zsh/site/_a'), 0o600)
  symlinkSync('elsewhere', at('share/man/man8/a.8'))
  for (const line of await install('one')) t.match(line, /is somebody else's: left as it is$/)
  t.same(manifest.steps, [])
  await uninstall()
  t.equal(readFileSync(at('share/zsh/site/_a'), 'utf8'), 'theirs')
  t.equal(statSync(at('share/zsh/site/_a')).mode & 0o777, 0o600)
  t.notOk(existsSync(at('share/man/man8/elsewhere')), 'nothing was written through a link')
})

t.test('a file of ours that somebody has edited is theirs, and keeps its directory', async (t) => {
  const { at, install, uninstall, manifest, tree } = await rig()
  await install('one')
  writeFileSync(at('share/zsh/site/_a'), 'edited')
  const [line] = await install('two')
  t.match(line, /somebody else's/)
  const entry = manifest.steps.find((step) => step.kind === 'command-file')!
  t.equal(await fateOf(entry, true), 'gone', 'nothing of ours is left of it')
  await uninstall()
  t.equal(readFileSync(at('share/zsh/site/_a'), 'utf8'), 'edited')
  t.same(tree(), ['man', 'zsh', 'zsh/site', 'zsh/site/_a'])
})

t.test('a file that nobody would read is not made', async (t) => {
  const { install, tree } = await rig()
  const before = tree()
  t.same(await install('one', 'etc/fish'), [])
  t.same(tree(), before)
})
