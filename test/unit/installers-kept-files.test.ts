import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { keptFiles } from '../../installers/kept-files.ts'
import { scratch } from './scratch.ts'

const root = scratch()
const at = (name: string) => join(root, name)

t.test('files come back with content and mode, links as links, and what was not there goes', async (t) => {
  writeFileSync(at('changed'), 'before')
  chmodSync(at('changed'), 0o640)
  writeFileSync(at('gone'), Buffer.from([0, 255, 10]))
  symlinkSync('somewhere', at('link'))
  mkdirSync(at('directory'))
  const kept = keptFiles()
  for (const name of ['changed', 'gone', 'link', 'new', 'directory']) await kept.keep(at(name))

  writeFileSync(at('changed'), 'after')
  chmodSync(at('changed'), 0o600)
  rmSync(at('gone'))
  rmSync(at('link'))
  writeFileSync(at('link'), 'a file now')
  writeFileSync(at('new'), 'ours')
  await kept.putBack()

  t.equal(readFileSync(at('changed'), 'utf8'), 'before')
  t.equal(statSync(at('changed')).mode & 0o777, 0o640)
  t.same(readFileSync(at('gone')), Buffer.from([0, 255, 10]))
  t.equal(readlinkSync(at('link')), 'somewhere')
  t.notOk(existsSync(at('new')))
  t.ok(statSync(at('directory')).isDirectory())
})

t.test('what is as it was is not written again', async (t) => {
  writeFileSync(at('same'), 'same')
  const kept = keptFiles()
  await kept.keep(at('same'))
  const { ino } = statSync(at('same'))
  await kept.putBack()
  t.equal(statSync(at('same')).ino, ino)
})

t.test('the first look counts, and files that a directory gets later stay', async (t) => {
  mkdirSync(at('keys'))
  writeFileSync(at('keys/ca'), 'one')
  const kept = keptFiles()
  await kept.keepDirectory(at('keys'))
  await kept.keepDirectory(at('missing'))
  writeFileSync(at('keys/ca'), 'two')
  writeFileSync(at('keys/later'), 'later')
  await kept.keep(at('keys/ca'))
  await kept.putBack()
  t.equal(readFileSync(at('keys/ca'), 'utf8'), 'one')
  t.equal(readFileSync(at('keys/later'), 'utf8'), 'later')
})
